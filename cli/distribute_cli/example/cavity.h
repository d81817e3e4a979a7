/* Steady flow in a square cavity whose lid slides: the incompressible Navier-Stokes equations in two dimensions.
 *
 * The unknown is the streamfunction psi on the nodes of n x n square cells (u = dpsi/dy, v = -dpsi/dx). With the
 * vorticity w = -laplace(psi), the steady momentum equations become
 *
 *     u dw/dx + v dw/dy = laplace(w) / Re,      psi = 0 and no slip on the walls, u = 1 on the lid.
 *
 * All derivatives are central differences of second order; a mirrored node behind each wall carries its speed.
 * Newton's method solves for all nodes at once, each step by Gaussian elimination of a banded matrix.
 */
#ifndef CAVITY_H
#define CAVITY_H

#include <stddef.h>

typedef struct {
    int n;       /* cells along a side; nodes are 0..n */
    double h;    /* width of a cell */
    double re;   /* Reynolds number */
    double *psi; /* streamfunction, node (i, j) at [j * (n + 1) + i], i along x, j along y */
    double *w;   /* vorticity, likewise */
} Cavity;

typedef struct {
    int newton_steps;
    double residual; /* the largest of the vorticity equation, in lid speed and cavity width */
    double wall_s;
} Effort;

/* Solves from rest to the cavity's Reynolds number. Ends the program where no steady flow is found. */
Effort settle(Cavity *c);

/* Streamfunction and velocities at a node. */
double psi_at(const Cavity *c, int i, int j);
double u_at(const Cavity *c, int i, int j);
double v_at(const Cavity *c, int i, int j);

/* Writes profile_u.csv, profile_v.csv and summary.json, and says in short what is in them. */
void report(const Cavity *c, Effort effort, const char *folder, const char *table);

/* Memory for numbers, all zero. Ends the program where there is none. */
double *zeros(size_t count);

/* Ends the program with a message in the manner of printf. */
void fail(int status, const char *format, ...);

#endif
