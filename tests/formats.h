/* SPDX-License-Identifier: Apache-2.0 */
/* Random matrices of any format in memory, for tests. */
#ifndef TESTS_FORMATS_H
#define TESTS_FORMATS_H

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "format_fit.h"

static inline uint64_t random_next(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
static inline int random_below(uint64_t *state, int64_t limit)
{
    return (int)(random_next(state) % (uint64_t)limit);
}

/* Memory for every part that *stored asks for by bytes. */
static inline void stored_alloc(lb_stored *stored)
{
    for (int i = 0; i < LB_PART_COUNT; i++)
        stored->part[i].data = stored->part[i].bytes ? calloc(1, stored->part[i].bytes) : NULL;
}
static inline void stored_free(lb_stored *stored)
{
    for (int i = 0; i < LB_PART_COUNT; i++)
        free(stored->part[i].data);
}

/* A description of this format with everything optional, or without. */
static inline lb_status stored_describe(const char *format, int64_t n, int64_t k, int bits,
                                        int64_t group, bool full, lb_stored *out)
{
    const lb_format *f = lb_format_find(format);
    lb_stored s = LB_STORED_INIT;
    s.format = f->name;
    s.n = n;
    s.k = k;
    s.bits = f->bits ? 0 : bits;
    s.group = f->group || (f->flags & LB_FORMAT_DENSE) ? 0 : group;
    s.part[LB_PART_ZEROS].bytes = full;
    s.part[LB_PART_OFFSETS].bytes = full && strcmp(format, "canon") == 0;
    lb_status status = lb_stored_sizes(&s);
    *out = s;
    return status;
}

/* Fills a matrix with random codes and parameters that the format can hold. */
static inline lb_status stored_fill(const lb_stored *stored, uint64_t *state)
{
    lb_matrix m;
    lb_rows rows;
    lb_status status = lb_matrix_open(stored, false, &m);
    if (status != LB_OK || (status = lb_rows_make(&m.form, 1, &rows)) != LB_OK)
        return status;
    const lb_form *f = &m.form;
    float shared = 0;
    for (int64_t n = 0; n < f->n; n++) {
        const lb_params *p = &rows.all;
        rows.first = n;
        rows.rows = 1;
        for (int64_t k = 0; k < f->k; k++)
            rows.codes[k] = (uint8_t)random_below(state, f->levels);
        for (int64_t j = 0; j < f->groups; j++) {
            float s = ldexpf(1.0f + (float)random_below(state, 1 << 20) / (1 << 20),
                             random_below(state, 7) - 8);
            if (f->reciprocal) /* what a file of that type can say */
                s = 1.0f / lb_bf16_to_f32(lb_bf16_from_f32(s));
            s = lb_scale_round(f, s);
            if (f->per_tensor)
                s = shared = shared == 0 ? s : shared;
            p->scale[j] = s;
            p->zero[j] = (int16_t)random_below(state, 1 << f->bits);
            if (f->offset_type)
                p->offset[j] =
                    lb_f16_to_f32(lb_f16_from_f32((float)random_below(state, 4096) / 2048));
            if (f->super) {
                p->super[j / f->super] = lb_f16_to_f32(lb_f16_from_f32(s));
                p->super_offset[j / f->super] = lb_f16_to_f32(lb_f16_from_f32(s * 2));
                p->sub[j] =
                    (int16_t)(f->sub_min + random_below(state, f->sub_max - f->sub_min + 1));
                p->sub_offset[j] = (int16_t)random_below(state, f->sub_offset_max + 1);
            }
        }
        lb_matrix_store(&m, &rows);
    }
    lb_rows_free(&rows);
    return LB_OK;
}

#endif
