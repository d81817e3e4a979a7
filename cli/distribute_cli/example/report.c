/* What is said of a flow: its profiles, its extrema, and how far it is from the published table. */
#include "cavity.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The parabola through three equidistant values: where its extremum is, in spacings from the middle, and how high. */
static double peak(double before, double middle, double after, double *height) {
    const double offset = (before - after) / (2 * (before - 2 * middle + after));
    *height = middle - (before - after) * offset / 4;
    return offset;
}

typedef struct { double at, value; } Extremum;

/* The largest value of sign * profile over the inner nodes, between them. */
static Extremum extremum(const double *profile, int n, double sign) {
    int best = 1;
    Extremum found;
    for (int k = 2; k < n; k++)
        if (sign * profile[k] > sign * profile[best]) best = k;
    found.at = (best + peak(profile[best - 1], profile[best], profile[best + 1], &found.value)) / n;
    return found;
}

typedef struct { double x, y, psi; } Vortex;

/* Where psi is least, between the nodes. */
static Vortex primary_vortex(const Cavity *c) {
    int i = 1, j = 1;
    for (int row = 1; row < c->n; row++)
        for (int column = 1; column < c->n; column++)
            if (psi_at(c, column, row) < psi_at(c, i, j)) i = column, j = row;
    const double middle = psi_at(c, i, j);
    double along_x, along_y;
    Vortex vortex;
    vortex.x = (i + peak(psi_at(c, i - 1, j), middle, psi_at(c, i + 1, j), &along_x)) * c->h;
    vortex.y = (j + peak(psi_at(c, i, j - 1), middle, psi_at(c, i, j + 1), &along_y)) * c->h;
    vortex.psi = along_x + along_y - middle;
    return vortex;
}

/* A profile of n + 1 nodes at a position between them, by the cubic through the four nearest. */
static double between(const double *profile, int n, double position) {
    int first = (int)floor(position * n) - 1;
    first = first < 0 ? 0 : first > n - 3 ? n - 3 : first;
    double sum = 0;
    for (int k = first; k < first + 4; k++) {
        double weight = 1;
        for (int other = first; other < first + 4; other++)
            if (other != k) weight *= (position * n - other) / (k - other);
        sum += weight * profile[k];
    }
    return sum;
}

typedef struct { int points; double squares, largest; } Deviation;

/* Compares both profiles with the table's column for this Reynolds number. No such column: no points. */
static void compare(const char *path, double re, int n, double *const profiles[2], Deviation deviations[2]) {
    char line[256];
    int column = 0; /* of the line's values, 1 is the first after the position; 0: not known yet, -1: none */
    FILE *table = fopen(path, "r");
    if (!table) fail(1, "can't read the table %s: %s", path, strerror(errno));
    while (fgets(line, sizeof line, table)) {
        if (line[0] == '#') continue;
        const char *kind = strtok(line, ",\n"), *position = strtok(NULL, ",\n"), *value;
        if (!kind || !position) fail(1, "%s: a line is neither a comment nor a row of values", path);
        if (!column) {
            for (int k = 1; (value = strtok(NULL, ",\n")); k++)
                if (atof(value) == re) column = k;
            if (!column) break;
            continue;
        }
        for (int k = 0; k < column; k++) value = strtok(NULL, ",\n");
        if (!value) fail(1, "%s: the row of %s at %s has no value for Re %g", path, kind, position, re);
        if (strchr(value, '?')) continue; /* a misprint, by the table's own note */
        const int which = kind[0] == 'v';
        const double node = round(atof(position) * 128) / 128;
        const double deviation = fabs(between(profiles[which], n, node) - atof(value));
        deviations[which].points++;
        deviations[which].squares += deviation * deviation;
        deviations[which].largest = fmax(deviations[which].largest, deviation);
    }
    fclose(table);
}

static FILE *create(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    if (!file) fail(1, "can't write %s: %s", path, strerror(errno));
    return file;
}

static void close_written(FILE *file, const char *name) {
    const int broken = ferror(file);
    if (fclose(file) || broken) fail(1, "can't write all of %s: %s", name, strerror(errno));
}

static void write_profile(const char *folder, const char *name, const char *heading, const double *profile, int n) {
    FILE *file = create(folder, name);
    fprintf(file, "%s\n", heading);
    for (int k = 0; k <= n; k++) fprintf(file, "%.6f,%.8f\n", (double)k / n, profile[k]);
    close_written(file, name);
}

static void write_deviation(FILE *file, const char *name, Deviation d) {
    if (d.points)
        fprintf(file, "  \"%s_rms\": %.6f,\n  \"%s_max\": %.6f,\n", name, sqrt(d.squares / d.points), name,
                d.largest);
    else
        fprintf(file, "  \"%s_rms\": null,\n  \"%s_max\": null,\n", name, name);
}

/* A JSON string. Bytes of UTF-8 go through as they are. */
static void write_string(FILE *file, const char *text) {
    fputc('"', file);
    for (; *text; text++) {
        if ((unsigned char)*text < ' ') fprintf(file, "\\u%04x", *text);
        else fprintf(file, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    }
    fputc('"', file);
}

static void write_summary(const char *folder, const Cavity *c, Effort effort, double *const profiles[2],
                          const Deviation deviations[2]) {
    const Extremum u_min = extremum(profiles[0], c->n, -1), v_min = extremum(profiles[1], c->n, -1);
    const Extremum v_max = extremum(profiles[1], c->n, 1);
    const Vortex vortex = primary_vortex(c);
    const char *node = getenv("DISTRIBUTE_NODE");
    FILE *file = create(folder, "summary.json");
    fprintf(file, "{\n  \"re\": %g,\n  \"n\": %d,\n  \"node\": ", c->re, c->n);
    write_string(file, node ? node : "");
    fprintf(file, ",\n");
    write_deviation(file, "ghia_u", deviations[0]);
    write_deviation(file, "ghia_v", deviations[1]);
    fprintf(file, "  \"vortex\": {\"x\": %.5f, \"y\": %.5f, \"psi\": %.6f},\n", vortex.x, vortex.y, vortex.psi);
    fprintf(file, "  \"u_min\": {\"y\": %.5f, \"value\": %.6f},\n", u_min.at, u_min.value);
    fprintf(file, "  \"v_min\": {\"x\": %.5f, \"value\": %.6f},\n", v_min.at, v_min.value);
    fprintf(file, "  \"v_max\": {\"x\": %.5f, \"value\": %.6f},\n", v_max.at, v_max.value);
    fprintf(file, "  \"newton_steps\": %d,\n  \"residual\": %.3e,\n", effort.newton_steps, effort.residual);
    fprintf(file, "  \"wall_s\": %.3f\n}\n", effort.wall_s);
    close_written(file, "summary.json");
}

void report(const Cavity *c, Effort effort, const char *folder, const char *table) {
    const int n = c->n;
    double *const profiles[2] = {zeros(n + 1), zeros(n + 1)};
    Deviation deviations[2] = {{0}};
    for (int k = 0; k <= n; k++) {
        profiles[0][k] = u_at(c, n / 2, k);
        profiles[1][k] = v_at(c, k, n / 2);
    }
    compare(table, c->re, n, profiles, deviations);
    write_profile(folder, "profile_u.csv", "y,u", profiles[0], n);
    write_profile(folder, "profile_v.csv", "x,v", profiles[1], n);
    write_summary(folder, c, effort, profiles, deviations);
    printf("Re %g on %d x %d cells: %d Newton steps in %.2f s\n", c->re, n, n, effort.newton_steps, effort.wall_s);
    for (int which = 0; which < 2 && deviations[which].points; which++)
        printf("%c against Ghia, Ghia and Shin (1982): rms %.5f, at most %.5f\n", "uv"[which],
               sqrt(deviations[which].squares / deviations[which].points), deviations[which].largest);
    free(profiles[0]);
    free(profiles[1]);
}
