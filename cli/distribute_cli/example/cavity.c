/* Steady flow in a square cavity whose lid slides: the incompressible Navier-Stokes equations in two dimensions.
 *
 * The unknown is the streamfunction psi on the nodes of N x N square cells (u = dpsi/dy, v = -dpsi/dx). With the
 * vorticity w = -laplace(psi), the steady momentum equations become
 *
 *     u dw/dx + v dw/dy = laplace(w) / Re,      psi = 0 and no slip on the walls, u = 1 on the lid.
 *
 * All derivatives are central differences of second order; a mirrored node behind each wall carries its speed.
 * Newton's method solves for all nodes at once, each step by Gaussian elimination of a banded matrix.
 *
 *     cavity --re RE --n N [--table ghia1982.csv] [--save FOLDER]
 *
 * FOLDER (default $DISTRIBUTE_SAVE, else .) receives profile_u.csv, profile_v.csv and summary.json.
 * Exit status: 0 converged, 1 not converged or a file trouble, 2 wrong usage.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_STEPS = 60, MAX_HALVINGS = 12 };
static const double TOLERANCE = 1e-10; /* of the largest residual, in units of lid speed and cavity width */

typedef struct {
    int n;       /* cells along a side; nodes are 0..n */
    double h;    /* width of a cell */
    double re;   /* Reynolds number */
    double *psi; /* streamfunction, node (i, j) at [j * (n + 1) + i], i along x, j along y */
    double *w;   /* vorticity, likewise */
} Cavity;

typedef struct {
    int rows, reach;       /* row r holds columns r - reach .. r + reach */
    double *band;
} Matrix;

static void fail(int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("cavity: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(status);
}

static double *zeros(size_t count) {
    double *memory = calloc(count, sizeof *memory);
    if (!memory) fail(1, "no memory for %zu numbers; take a coarser grid", count);
    return memory;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* --- the equations ------------------------------------------------------------------------------ */

static double psi_at(const Cavity *c, int i, int j) { return c->psi[j * (c->n + 1) + i]; }
static double w_at(const Cavity *c, int i, int j) { return c->w[j * (c->n + 1) + i]; }

/* Velocities at a node: differences inside, the given speeds on the walls. */
static double u_at(const Cavity *c, int i, int j) {
    if (j == c->n) return 1.0;
    if (i == 0 || i == c->n || j == 0) return 0.0;
    return (psi_at(c, i, j + 1) - psi_at(c, i, j - 1)) / (2 * c->h);
}

static double v_at(const Cavity *c, int i, int j) {
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
    const double h2 = 2 * c->h, diffusion = 1 / (c->h * c->h * c->re);
    memset(m->band, 0, (size_t)m->rows * (2 * m->reach + 1) * sizeof *m->band);
    for (int j = 1, row = 0; j < c->n; j++)
        for (int i = 1; i < c->n; i++, row++) {
            const double u = u_at(c, i, j) / h2, v = v_at(c, i, j) / h2;
            add_vorticity(m, c, row, i, j, 4 * diffusion);
            add_vorticity(m, c, row, i + 1, j, u - diffusion);
            add_vorticity(m, c, row, i - 1, j, -u - diffusion);
            add_vorticity(m, c, row, i, j + 1, v - diffusion);
            add_vorticity(m, c, row, i, j - 1, -v - diffusion);
            const double dw_dx = (w_at(c, i + 1, j) - w_at(c, i - 1, j)) / h2;
            const double dw_dy = (w_at(c, i, j + 1) - w_at(c, i, j - 1)) / h2;
            add(m, c, row, i, j + 1, dw_dx / h2);
            add(m, c, row, i, j - 1, -dw_dx / h2);
            add(m, c, row, i + 1, j, -dw_dy / h2);
            add(m, c, row, i - 1, j, dw_dy / h2);
        }
}

/* Gaussian elimination in place; `x` is the right side, then the solution. The matrix needs no pivoting:
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

/* psi at the inner nodes += scale * step, which is ordered as the residual is. */
static void advance(Cavity *c, const double *step, double scale) {
    for (int j = 1; j < c->n; j++)
        for (int i = 1; i < c->n; i++) c->psi[j * (c->n + 1) + i] += scale * *step++;
}

/* Newton's method from rest: a step is halved until the residual shrinks. Returns the steps taken. */
static int newton(Cavity *c, double *largest) {
    const int inner = c->n - 1;
    Matrix m = {.rows = inner * inner, .reach = 2 * inner};
    m.band = zeros((size_t)m.rows * (2 * m.reach + 1));
    double *step = zeros(m.rows);
    int steps = 0;
    *largest = residual(c, step);
    while (*largest > TOLERANCE && steps++ < MAX_STEPS) {
        assemble(&m, c);
        solve(&m, step);
        double scale = 1, now = INFINITY;
        advance(c, step, -1);
        double *trial = zeros(m.rows);
        for (int halvings = 0; (now = residual(c, trial)) >= *largest && halvings < MAX_HALVINGS; halvings++) {
            scale /= 2;
            advance(c, step, scale);
        }
        memcpy(step, trial, (size_t)m.rows * sizeof *step);
        free(trial);
        *largest = now;
        fprintf(stderr,"step %d residual %.3e scale %g\n", steps, now, scale);
    }
    free(m.band);
    free(step);
    return steps;
}
int main(int argc,char**argv){ Cavity c={.n=atoi(argv[2]),.re=atof(argv[1])}; c.h=1.0/c.n; size_t k=(c.n+1)*(c.n+1); c.psi=zeros(k); c.w=zeros(k); double l; double t=seconds(); newton(&c,&l); printf("%g s\n", seconds()-t); double m=0; for(size_t i=0;i<k;i++) m=fmin(m,c.psi[i]); printf("psi min %g\n",m); for(int j=c.n;j>=0;j-=c.n/16) printf("%g %g\n", j*c.h,u_at(&c,c.n/2,j)); (void)fail;(void)errno;}
