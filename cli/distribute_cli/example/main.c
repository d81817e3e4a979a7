/* cavity --re RE --n N [--table ghia1982.csv] [--save FOLDER]
 *
 * FOLDER (default $DISTRIBUTE_SAVE, else .) receives profile_u.csv, profile_v.csv and summary.json.
 * Exit status: 0 done, 1 no steady flow found or a file trouble, 2 wrong usage.
 */
#include "cavity.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RE = 5000, MAX_N = 256 };

void fail(int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("cavity: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(status);
}

double *zeros(size_t count) {
    double *memory = calloc(count, sizeof *memory);
    if (!memory) fail(1, "no memory for %zu numbers; take a coarser grid", count);
    return memory;
}

int main(int count, char **arguments) {
    const char *save = getenv("DISTRIBUTE_SAVE"), *table = "ghia1982.csv";
    Cavity c = {0};
    for (int k = 1; k < count; k += 2) {
        const char *name = arguments[k], *value = arguments[k + 1];
        if (!value) fail(2, "%s needs a value", name);
        if (!strcmp(name, "--re")) c.re = atof(value);
        else if (!strcmp(name, "--n")) c.n = atoi(value);
        else if (!strcmp(name, "--table")) table = value;
        else if (!strcmp(name, "--save")) save = value;
        else fail(2, "unknown option %s; there are --re, --n, --table and --save", name);
    }
    if (!(c.re >= 1 && c.re <= MAX_RE)) fail(2, "--re takes a Reynolds number from 1 to %d", MAX_RE);
    if (c.n < 8 || c.n > MAX_N || c.n % 2) fail(2, "--n takes an even number of cells from 8 to %d", MAX_N);
    c.h = 1.0 / c.n;
    c.psi = zeros((size_t)(c.n + 1) * (c.n + 1));
    c.w = zeros((size_t)(c.n + 1) * (c.n + 1));
    report(&c, settle(&c), save ? save : ".", table);
    free(c.psi);
    free(c.w);
    return 0;
}
