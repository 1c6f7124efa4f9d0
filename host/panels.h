/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast way from stored codes to prepacked layouts: panels of 64 rows, without a step per
 * element. Both sides meet in quads: four codes that follow each other along k, one in each byte of
 * a word, 64 rows side by side. A format has a function that reads quads, a layout one that writes
 * them; loops over 64 words are what compilers make vector code of.
 */
#ifndef LB_PANELS_H
#define LB_PANELS_H

#include "format.h"
#include "layout.h"

enum { LB_PANEL = 64, LB_CHUNK = 256, LB_QUADS = LB_CHUNK / 4 };

typedef uint32_t lb_quad_line[LB_PANEL];

/* How one matrix is packed; NULL functions: not this way. */
typedef struct lb_panels {
    void (*read)(const lb_matrix *m, int64_t n, int64_t k, int64_t quads, lb_quad_line *q);
    void (*write)(const lb_extent *e, void *codes, int64_t n, int64_t k, int64_t quads,
                  lb_quad_line *q);
    const lb_extent *extent;
    unsigned add; /* to each code, modulo 2^bits, for the field that holds it */
} lb_panels;

/* False: this format, layout or size goes element by element. zero: what is subtracted from a code
   for its value. */
bool lb_panels_open(const lb_matrix *m, const lb_extent *extent, int32_t zero, lb_panels *panels);

/*
 * Packs rows n to n + 63. sums: of the codes, [ceil(K / group)][stride] from row n on, added to.
 * False: there is a code that the format does not have.
 */
bool lb_panels_pack(const lb_panels *panels, const lb_matrix *m, int64_t n, void *codes,
                    int64_t group, int32_t *sums, int64_t stride);

#endif
