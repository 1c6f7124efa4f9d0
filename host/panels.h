/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast way from stored codes to prepacked layouts: panels of 64 rows, without a step per
 * element. Both sides meet in lines: a word of each of 64 rows, side by side, whose byte i holds
 * the codes of k = i, i + 4 ... (one of 8 bits, two of 4, four of 2), the first lowest. That is a
 * line of the layout panel64x4. A format has a function that reads lines, a layout one that writes
 * them; all other orders are reached by exchanging fields of a word, for 64 rows at once, in loops
 * that compilers make vector code of.
 */
#ifndef LB_PANELS_H
#define LB_PANELS_H

#include "format.h"
#include "weights.h"

enum { LB_PANEL = 64, LB_CHUNK = 256, LB_LINES = LB_CHUNK / 4 };

typedef uint32_t lb_line[LB_PANEL];

/* `count` is of k, at most LB_CHUNK, a multiple of the reader's. */
typedef void lb_panel_read(const lb_matrix *m, int64_t n, int64_t k, int64_t count, lb_line *x);
/* May change the lines. */
typedef void lb_panel_write(const lb_extent *e, void *codes, int64_t n, int64_t k, int64_t count,
                            lb_line *x);

typedef struct lb_panel_reader {
    const char *format;
    int32_t k_mult;
    bool by_k; /* rows of one k lie side by side: best read through all rows before the next k */
    lb_panel_read *read;
} lb_panel_reader;

typedef struct lb_panel_writer {
    const char *layout;
    lb_panel_write *write;
} lb_panel_writer;

struct lb_panels;

/* One compilation of all this, for one kind of processor. */
typedef struct lb_panel_code {
    const char *name;
    const lb_panel_reader *readers;
    const lb_panel_writer *writers;
    size_t reader_count, writer_count;
    /* Columns k to k + count of rows n to n + 63, codes and sums. False: there is a code that the
       format does not have. */
    bool (*pack)(const struct lb_panels *p, int64_t n, int64_t k, int64_t count);
    /* [64][count] words to [count][stride]. */
    void (*turn)(const void *from, int64_t count, void *to, int64_t stride);
} lb_panel_code;

extern const lb_panel_code lb_panel_code_any, lb_panel_code_avx2;
/* The best that this processor runs. */
const lb_panel_code *lb_panel_code_best(void);

/* How one matrix is packed. */
typedef struct lb_panels {
    const lb_panel_code *code;
    const lb_matrix *m;
    const lb_extent *extent;
    lb_panel_read *read;
    lb_panel_write *write;
    bool by_k;
    uint32_t add; /* to a word of codes, field by field, for the fields that hold them */
    int32_t zero; /* what is subtracted from a code for its value */
    void *codes;
    int32_t *sums;         /* of values: [ceil(K / group)][stride] */
    int64_t group, stride; /* group: a multiple of 32, or all of K */
} lb_panels;

/* False: this format, layout or size goes element by element. `codes`, `sums`, `group` and `stride`
   are left for the caller to set. */
bool lb_panels_open(const lb_panel_code *code, const lb_matrix *m, const lb_extent *extent,
                    int32_t zero, lb_panels *panels);

/* A term of a stored matrix (terms.c), for which a plan was made. */
typedef struct lb_term {
    int32_t type;         /* of B */
    int32_t halves, half; /* groups of 16: this term holds every second one, from `half` on */
    bool offset;          /* the offsets, times 1 */
} lb_term;

/* All of a blob by panels, by as many threads. *done: false where it cannot be done so, or where
   the slow way has a sentence to say about a code or a scale. */
lb_status lb_panels_blob(const lb_panel_code *code, int32_t threads, const lb_blob_header *header,
                         const lb_matrix *m, const lb_term *t, void *blob, bool *done);

#endif
