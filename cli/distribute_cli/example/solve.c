/* The equations of cavity.h, and Newton's method for them. */
#define _POSIX_C_SOURCE 200809L
#include "cavity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FIRST_RE = 300, MAX_STEPS = 30 };
static const double COARSE = 1e-2, FINE = 1e-9; /* of a step's largest change of psi: on the way, at the end */

typedef struct {
    int rows, reach; /* row r holds columns r - reach .. r + reach */
    double *band;
} Matrix;

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* --- the equations ------------------------------------------------------------------------------ */

double psi_at(const Cavity *c, int i, int j) { return c->psi[j * (c->n + 1) + i]; }
static double w_at(const Cavity *c, int i, int j) { return c->w[j * (c->n + 1) + i]; }

/* Velocities at a node: differences inside, the given speeds on the walls. */
double u_at(const Cavity *c, int i, int j) {
    if (j == c->n) return 1.0;
    if (i == 0 || i == c->n || j == 0) return 0.0;
    return (psi_at(c, i, j + 1) - psi_at(c, i, j - 1)) / (2 * c->h);
}

double v_at(const Cavity *c, int i, int j) {
    if (i == 0 || i == c->n || j == 0 || j == c->n) return 0.0;
    return (psi_at(c, i - 1, j) - psi_at(c, i + 1, j)) / (2 * c->h);
}

/* w = -laplace(psi). On a wall psi = 0, and the node mirrored behind it equals the one before it,
 * on the lid plus 2 h u. The corners' vorticity is infinite, and no difference reaches it. */
static void update_vorticity(Cavity *c) {
    const int n = c->n, row = n + 1;
    const double h2 = c->h * c->h;
    for (int k = 1; k < n; k++) {
        c->w[k] = -2 * psi_at(c, k, 1) / h2;
        c->w[n * row + k] = -2 * (psi_at(c, k, n - 1) + c->h) / h2;
        c->w[k * row] = -2 * psi_at(c, 1, k) / h2;
        c->w[k * row + n] = -2 * psi_at(c, n - 1, k) / h2;
    }
    for (int j = 1; j < n; j++)
        for (int i = 1; i < n; i++)
            c->w[j * row + i] = (4 * psi_at(c, i, j) - psi_at(c, i - 1, j) - psi_at(c, i + 1, j) -
                                 psi_at(c, i, j - 1) - psi_at(c, i, j + 1)) / h2;
}

/* The residual of the vorticity equation at the inner nodes, row by row; returns the largest. */
static double residual(Cavity *c, double *out) {
    const double h = c->h;
    double largest = 0;
    update_vorticity(c);
    for (int j = 1; j < c->n; j++)
        for (int i = 1; i < c->n; i++) {
            const double east = w_at(c, i + 1, j), west = w_at(c, i - 1, j);
            const double north = w_at(c, i, j + 1), south = w_at(c, i, j - 1);
            const double convection = (u_at(c, i, j) * (east - west) + v_at(c, i, j) * (north - south)) / (2 * h);
            const double diffusion = (east + west + north + south - 4 * w_at(c, i, j)) / (h * h * c->re);
            *out = convection - diffusion;
            largest = fmax(largest, fabs(*out++));
        }
    return largest;
}

/* --- Newton's matrix: how each residual changes with each inner psi ---------------------------- */

static void add(Matrix *m, const Cavity *c, int row, int i, int j, double value) {
    if (i < 1 || j < 1 || i >= c->n || j >= c->n) return; /* psi is given on the walls */
    const int column = (j - 1) * (c->n - 1) + i - 1;
    m->band[(size_t)row * (2 * m->reach + 1) + (column - row + m->reach)] += value;
}

/* Adds `weight` times the change of the vorticity at node (i, j), which may be on a wall. */
static void add_vorticity(Matrix *m, const Cavity *c, int row, int i, int j, double weight) {
    const int inner_i = i == 0 ? 1 : i == c->n ? c->n - 1 : i;
    const int inner_j = j == 0 ? 1 : j == c->n ? c->n - 1 : j;
    weight /= c->h * c->h;
    if (inner_i != i || inner_j != j) {
        add(m, c, row, inner_i, inner_j, -2 * weight);
        return;
    }
    add(m, c, row, i, j, 4 * weight);
    add(m, c, row, i + 1, j, -weight);
    add(m, c, row, i - 1, j, -weight);
    add(m, c, row, i, j + 1, -weight);
    add(m, c, row, i, j - 1, -weight);
}

static void assemble(Matrix *m, const Cavity *c) {
    const double two_h = 2 * c->h, diffusion = 1 / (c->h * c->h * c->re);
    memset(m->band, 0, (size_t)m->rows * (2 * m->reach + 1) * sizeof *m->band);
    for (int j = 1, row = 0; j < c->n; j++)
        for (int i = 1; i < c->n; i++, row++) {
            const double u = u_at(c, i, j) / two_h, v = v_at(c, i, j) / two_h;
            add_vorticity(m, c, row, i, j, 4 * diffusion);
            add_vorticity(m, c, row, i + 1, j, u - diffusion);
            add_vorticity(m, c, row, i - 1, j, -u - diffusion);
            add_vorticity(m, c, row, i, j + 1, v - diffusion);
            add_vorticity(m, c, row, i, j - 1, -v - diffusion);
            const double dw_dx = (w_at(c, i + 1, j) - w_at(c, i - 1, j)) / two_h;
            const double dw_dy = (w_at(c, i, j + 1) - w_at(c, i, j - 1)) / two_h;
            add(m, c, row, i, j + 1, dw_dx / two_h);
            add(m, c, row, i, j - 1, -dw_dx / two_h);
            add(m, c, row, i + 1, j, -dw_dy / two_h);
            add(m, c, row, i - 1, j, dw_dy / two_h);
        }
}

/* Gaussian elimination in place; `x` is the right side, then the solution. There is no pivoting:
 * what that costs in accuracy, the next step of Newton's method makes good. */
static void solve(Matrix *m, double *x) {
    const int rows = m->rows, reach = m->reach;
    const size_t width = 2 * (size_t)reach; /* one row down and one column left: the same column */
    for (int k = 0; k < rows; k++) {
        const double *pivot = m->band + k * (width + 1) + reach;
        const int last = k + reach < rows ? k + reach : rows - 1, length = last - k;
        for (int r = k + 1; r <= last; r++) {
            double *restrict target = m->band + k * (width + 1) + reach + (size_t)(r - k) * width;
            const double factor = target[0] / pivot[0];
            if (factor == 0) continue;
            for (int column = 1; column <= length; column++) target[column] -= factor * pivot[column];
            x[r] -= factor * x[k];
        }
    }
    for (int k = rows - 1; k >= 0; k--) {
        const double *pivot = m->band + k * (width + 1) + reach;
        const int length = k + reach < rows ? reach : rows - 1 - k;
        for (int column = 1; column <= length; column++) x[k] -= pivot[column] * x[k + column];
        x[k] /= pivot[0];
    }
}

/* Newton's method for one Reynolds number, until a step changes no psi by `tolerance`. Returns the steps taken,
 * 0 if they did not settle. */
static int newton(Cavity *c, Matrix *m, double *step, double tolerance) {
    for (int steps = 1; steps <= MAX_STEPS; steps++) {
        double largest = 0;
        residual(c, step);
        assemble(m, c);
        solve(m, step);
        for (int j = 1, row = 0; j < c->n; j++)
            for (int i = 1; i < c->n; i++, row++) {
                if (!isfinite(step[row])) return 0;
                c->psi[j * (c->n + 1) + i] -= step[row];
                largest = fmax(largest, fabs(step[row]));
            }
        if (largest < tolerance) return steps;
    }
    return 0;
}

/* Each flow on the way is the first guess of the next, at twice its Reynolds number. */
Effort settle(Cavity *c) {
    const double re = c->re, start = seconds();
    const int inner = c->n - 1;
    Matrix m = {.rows = inner * inner, .reach = 2 * inner};
    m.band = zeros((size_t)m.rows * (2 * m.reach + 1));
    double *step = zeros(m.rows);
    Effort effort = {0};
    int halvings = re > FIRST_RE ? (int)ceil(log2(re / FIRST_RE)) : 0;
    for (; halvings >= 0; halvings--) {
        c->re = ldexp(re, -halvings);
        const int taken = newton(c, &m, step, halvings ? COARSE : FINE);
        if (!taken) fail(1, "no steady flow found at Re %g on %d cells; take a finer grid", c->re, c->n);
        effort.newton_steps += taken;
    }
    effort.residual = residual(c, step);
    effort.wall_s = seconds() - start;
    free(m.band);
    free(step);
    return effort;
}
