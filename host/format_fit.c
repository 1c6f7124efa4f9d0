/* SPDX-License-Identifier: Apache-2.0 */
/* Exact changes of form: shifted codes, repeated scales, factored scales. Nothing is rounded. */
#include "format_fit.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "format_memory.h"
#include "status.h"

#define REFUSE(...)                                                                                \
    do {                                                                                           \
        char refuse_text_[256];                                                                    \
        snprintf(refuse_text_, sizeof refuse_text_, __VA_ARGS__);                                  \
        return lb_fail(LB_UNSUPPORTED, "%s cannot hold row %" PRId64 ": %s", to->format->name,     \
                       fit->n, refuse_text_);                                                      \
    } while (0)

static float round_to(int32_t type, float value)
{
    switch (type) {
    case LB_TYPE_F16: return lb_f16_to_f32(lb_f16_from_f32(value));
    case LB_TYPE_BF16: return lb_bf16_to_f32(lb_bf16_from_f32(value));
    case LB_SCALE_E8M0: return lb_e8m0_half(lb_e8m0_half_code(value > 0 ? value : 0x1p-128f));
    default: return value;
    }
}

bool lb_scale_holds(int32_t type, float value)
{
    return isfinite(value) && round_to(type, value) == value;
}

float lb_scale_round(const lb_form *to, float value)
{
    if (to->reciprocal && value != 0)
        return 1.0f / round_to(to->scale_type, 1.0f / value);
    float rounded = round_to(to->scale_type, value);
    return isfinite(rounded) ? rounded : copysignf(65504.0f, value);
}

static const char *type_name(int32_t type)
{
    return type == LB_SCALE_E8M0 ? "a power of two" : lb_type_name(type);
}

/* The parameters of columns [from_k, to_k), if they are the same for all of them. */
typedef struct group {
    float scale, offset;
    int zero;
    int64_t index; /* source group */
} group;

static bool same(const lb_form *f, const lb_params *p, int64_t a, int64_t b)
{
    return p->scale[a] == p->scale[b] && (!f->offset_type || p->offset[a] == p->offset[b]) &&
           (!f->has_zeros || p->zero[a] == p->zero[b]);
}

static lb_status gather(const lb_fit *fit, const lb_params *p, int64_t first, int64_t end, group *g)
{
    const lb_form *from = fit->from, *to = fit->to;
    int64_t a = lb_form_group(from, first);
    if (to->order) /* groups go over as they are */
        a = lb_form_group(to, first);
    for (int64_t k = first; !to->order && k < end; k++)
        if (lb_form_group(from, k) != a && !same(from, p, a, lb_form_group(from, k)))
            REFUSE("columns %" PRId64 " and %" PRId64 " share one group of %" PRId64
                   " there but have the scales %.9g and %.9g%s",
                   first, k, to->group, (double)p->scale[a],
                   (double)p->scale[lb_form_group(from, k)],
                   from->order ? " (the source permutes its groups)" : "");
    *g = (group){p->scale[a], from->offset_type ? p->offset[a] : 0.0f,
                 from->has_zeros ? p->zero[a] : from->zero, a};
    if (from->divisor != to->divisor)
        g->scale = g->scale / (float)from->divisor * (float)to->divisor;
    return LB_OK;
}

/* A real offset as integer zero points, or zero points as a real offset. */
static lb_status settle_offset(const lb_fit *fit, group *g)
{
    const lb_form *to = fit->to;
    if (to->offset_type && (to->has_zeros || g->zero == to->zero))
        return lb_scale_holds(to->super ? LB_TYPE_F32 : to->offset_type, g->offset)
                   ? LB_OK
                   : lb_fail(LB_UNSUPPORTED, "%s cannot hold row %" PRId64 ": offset %.9g is no %s",
                             to->format->name, fit->n, (double)g->offset,
                             lb_type_name(to->offset_type));
    if (to->offset_type && !fit->from->levels_table) {
        double offset = (double)g->offset + (double)g->scale * (g->zero - to->zero);
        if (!lb_scale_holds(to->super ? LB_TYPE_F32 : to->offset_type, (float)offset) ||
            (double)(float)offset != offset)
            REFUSE("group %" PRId64 ": offset %.9g is no %s", g->index, offset,
                   lb_type_name(to->offset_type));
        g->offset = (float)offset;
        g->zero = to->zero;
        return LB_OK;
    }
    if (g->offset == 0 || to->offset_type)
        return LB_OK;
    double steps = (double)g->offset / (double)g->scale;
    if (!(fabs(steps) < 1024) || steps != rint(steps))
        REFUSE("group %" PRId64
               ": offset %.9g is no multiple of the scale %.9g, and the format has "
               "no offsets",
               g->index, (double)g->offset, (double)g->scale);
    g->zero += (int)steps;
    g->offset = 0;
    return LB_OK;
}

/* Value of a source code in units of the scale. */
static float unit_value(const lb_form *from, const group *g, unsigned code)
{
    return from->levels_table ? from->table[code] : (float)((int)code - g->zero);
}

/* The target's code of each source code that is used, for one group; zero point in *zero. */
static lb_status map_codes(const lb_fit *fit, const group *g, const bool *used, uint8_t *map,
                           int *zero)
{
    const lb_form *from = fit->from, *to = fit->to;
    int low = 1 << 16, high = -(1 << 16);
    for (int c = 0; c < from->levels; c++) {
        if (!used[c])
            continue;
        float value = unit_value(from, g, (unsigned)c);
        if (to->levels_table) {
            int at = c < to->levels && to->table[c] == value ? c : 0;
            while (at < to->levels && to->table[at] != value)
                at++;
            if (at == to->levels)
                REFUSE("group %" PRId64 ": %g times the scale is not in its table", g->index,
                       (double)value);
            map[c] = (uint8_t)at;
            continue;
        }
        if (!(fabsf(value) < 0x1p24f) || value != rintf(value))
            REFUSE("group %" PRId64 ": %g times the scale is no integer below 2^24", g->index,
                   (double)value);
        low = (int)value < low ? (int)value : low;
        high = (int)value > high ? (int)value : high;
    }
    if (to->levels_table || low > high)
        return LB_OK;
    *zero = to->zero;
    if (to->has_zeros) { /* the source's zero point, if codes and zero point fit */
        *zero = from->levels_table ? 1 << (to->bits - 1) : g->zero;
        if (*zero < 0 || *zero >= 1 << to->bits || low + *zero < 0 || high + *zero >= to->levels)
            *zero = -low;
    }
    if (*zero < 0 || *zero >= 1 << to->bits || low + *zero < 0 || high + *zero >= to->levels)
        REFUSE("group %" PRId64 ": values of %d to %d scales; the format has %d to %d%s", g->index,
               low, high, -to->zero, to->levels - 1 - to->zero,
               to->has_zeros ? " around a zero point" : "");
    for (int c = 0; c < from->levels; c++)
        if (used[c])
            map[c] = (uint8_t)((int)unit_value(from, g, (unsigned)c) + *zero);
    return LB_OK;
}

static lb_status settle_scale(lb_fit *fit, group *g)
{
    const lb_form *to = fit->to;
    int32_t type = to->super ? LB_TYPE_F32 : to->scale_type;
    bool holds =
        to->reciprocal ? lb_scale_round(to, g->scale) == g->scale : lb_scale_holds(type, g->scale);
    if (!holds)
        REFUSE("group %" PRId64 ": scale %.9g is no %s", g->index, (double)g->scale,
               type_name(type));
    if (to->per_tensor) {
        if (fit->started && fit->tensor_scale != g->scale)
            REFUSE("group %" PRId64
                   " has the scale %.9g, others %.9g; the format has one scale for "
                   "the tensor",
                   g->index, (double)g->scale, (double)fit->tensor_scale);
        fit->started = true;
        fit->tensor_scale = g->scale;
    }
    return LB_OK;
}

/* ---- Factored scales ------------------------------------------------------------------------- */

/* count values as *factor times integers in [low, high], if that is exact. */
static bool factor(const float *values, int64_t count, int low, int high, float *super,
                   int16_t *sub)
{
    float least = 0;
    for (int64_t i = 0; i < count; i++)
        if (values[i] != 0 && (least == 0 || fabsf(values[i]) < fabsf(least)))
            least = values[i];
    for (int m = 1; m <= high; m++) {
        float d = least / (float)m;
        int64_t i = 0;
        if (!lb_scale_holds(LB_TYPE_F16, d))
            continue;
        for (; i < count; i++) {
            float ratio = d != 0 ? rintf(values[i] / d) : 0;
            if (ratio < (float)low || ratio > (float)high || d * ratio != values[i])
                break;
            sub[i] = (int16_t)ratio;
        }
        if (i == count) {
            *super = d;
            return true;
        }
    }
    return false;
}

static lb_status settle_super(const lb_fit *fit, const lb_params *p, const lb_params *out)
{
    const lb_form *from = fit->from, *to = fit->to;
    bool copy = from->super == to->super && from->group == to->group &&
                from->divisor == to->divisor && (!from->offset_type) == (!to->offset_type) &&
                from->zero == to->zero;
    for (int64_t j = 0; copy && j < to->groups; j++)
        copy = p->sub[j] >= to->sub_min && p->sub[j] <= to->sub_max &&
               (!to->offset_type || p->sub_offset[j] <= to->sub_offset_max);
    for (int64_t s = 0, j = 0; j < to->groups; s++, j += to->super) {
        int64_t count = to->groups - j < to->super ? to->groups - j : to->super;
        if (copy) {
            out->super[s] = p->super[s];
            memcpy(out->sub + j, p->sub + j, (size_t)count * sizeof *out->sub);
            if (to->offset_type) {
                out->super_offset[s] = p->super_offset[s];
                memcpy(out->sub_offset + j, p->sub_offset + j, (size_t)count * sizeof *out->sub);
            }
            continue;
        }
        if (!factor(out->scale + j, count, to->sub_min, to->sub_max, &out->super[s], out->sub + j))
            REFUSE("scales %.9g, %.9g, ... from group %" PRId64
                   " on are no integers from %d to %d times one f16",
                   (double)out->scale[j], (double)out->scale[count > 1 ? j + 1 : j], j, to->sub_min,
                   to->sub_max);
        if (to->offset_type && !factor(out->offset + j, count, 0, to->sub_offset_max,
                                       &out->super_offset[s], out->sub_offset + j))
            REFUSE("offsets %.9g, %.9g, ... from group %" PRId64
                   " on are no integers up to %d times one f16",
                   (double)out->offset[j], (double)out->offset[count > 1 ? j + 1 : j], j,
                   to->sub_offset_max);
    }
    return LB_OK;
}

/* ---- One row --------------------------------------------------------------------------------- */

static lb_status fit_group(lb_fit *fit, const lb_params *p, const uint8_t *codes, int64_t j,
                           const lb_params *out, uint8_t *out_codes)
{
    const lb_form *to = fit->to;
    bool used[256] = {0};
    uint8_t map[256];
    group g = {0};
    /* Without an order a group is a range; with one it is every column that names it. */
    int64_t first = to->order ? 0 : j * to->group, end = to->order ? to->k : first + to->group;
    end = end < to->k ? end : to->k;
    int64_t seen = -1;
    for (int64_t k = first; k < end; k++) {
        if (to->order && lb_form_group(to, k) != j)
            continue;
        seen = seen < 0 ? k : seen;
        used[codes[k]] = true;
    }
    if (seen < 0) { /* an empty group */
        out->scale[j] = j < fit->from->groups ? p->scale[j] : 0;
        out->zero[j] = fit->from->has_zeros ? p->zero[j] : (int16_t)to->zero;
        out->offset[j] = 0;
        return LB_OK;
    }
    LB_TRY(gather(fit, p, seen, end, &g));
    LB_TRY(settle_offset(fit, &g));
    LB_TRY(settle_scale(fit, &g));
    int zero = 0;
    lb_status status = map_codes(fit, &g, used, map, &zero);
    if (status != LB_OK && g.scale == 0) { /* any code gives 0; the codes are kept if they can be */
        zero = to->zero;
        memset(map, to->levels_table ? 0 : to->zero, sizeof map);
        status = LB_OK;
    }
    LB_TRY(status);
    out->scale[j] = g.scale;
    out->zero[j] = (int16_t)zero;
    out->offset[j] = g.offset;
    for (int64_t k = first; k < end; k++)
        if (!to->order || lb_form_group(to, k) == j)
            out_codes[k] = map[codes[k]];
    return LB_OK;
}

lb_status lb_fit_exact(lb_fit *fit, const lb_params *p, const uint8_t *codes, const lb_params *out,
                       uint8_t *out_codes)
{
    const lb_form *from = fit->from, *to = fit->to;
    if (from->offset_type && from->levels_table)
        return lb_fail(LB_UNSUPPORTED, "a table with offsets is only read");
    for (int64_t j = 0; j < to->groups; j++)
        LB_TRY(fit_group(fit, p, codes, j, out, out_codes));
    if (to->super)
        LB_TRY(settle_super(fit, p, out));
    for (int64_t k = 0; k < to->k; k++) {
        float before = lb_rows_value(from, p, codes, k),
              after = lb_rows_value(to, out, out_codes, k);
        if (before != after)
            REFUSE("column %" PRId64 " is %.9g and would become %.9g", k, (double)before,
                   (double)after);
    }
    return LB_OK;
}
