/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of a problem, all of them here and nowhere else, and what follows from them: defaults,
 * sizes, classes. The text form is in problem_line.c.
 */
#include "problem.h"

#include <inttypes.h>
#include <string.h>

#include "status.h"
#include "sums.h"
#include "types.h"

/* Kernels count in int32 and pad to tiles: leave room above. */
#define MAX_DIM (INT64_C(0x7fffffff) - 0xffff)
#define MAX_BATCH INT64_C(65535)
/* No operand may span more than this many bits, so that 64-bit offsets cannot overflow. */
#define MAX_SPAN_BITS (INT64_C(1) << 62)

#define T_ZERO (LB_T(S8) | LB_T(U8) | LB_T(S4) | LB_T(U4) | LB_T(S2) | LB_T(U2))
#define T_RESIDUAL_INT (LB_T(S32) | LB_T(S8) | LB_T(U8) | LB_T(S4) | LB_T(U4))
#define T_RESIDUAL (T_RESIDUAL_INT | LB_T_FLOAT)
#define T_BIAS (LB_T(S32) | LB_T_FLOAT)

#define REFUSE(...) return lb_fail(LB_INVALID_ARGUMENT, __VA_ARGS__)

/* ---- Classes --------------------------------------------------------------------------------- */

bool lb_problem_is_integer(const lb_problem *p)
{
    return lb_type_is_int(p->a.type) && lb_type_is_int(p->b.type);
}

bool lb_problem_is_fixed(const lb_problem *p)
{
    return p->rounding != LB_ROUND_EVEN && p->rounding != LB_ROUND_STOCHASTIC;
}

/* Activations of which every step is one correctly rounded operation. */
static bool is_piecewise(int32_t activation)
{
    return activation == LB_ACT_NONE || activation == LB_ACT_RELU || activation == LB_ACT_RELU6 ||
           activation == LB_ACT_HARD_SWISH;
}

bool lb_problem_is_raw(const lb_problem *p)
{
    return lb_problem_is_integer(p) && p->d.type == LB_TYPE_S32 && !p->a.scale && !p->b.scale &&
           !p->d.scale && !p->residual.type && !p->clamp &&
           (p->bias == LB_TYPE_NONE || p->bias == LB_TYPE_S32) &&
           (p->activation == LB_ACT_NONE || p->activation == LB_ACT_RELU);
}

bool lb_problem_is_stepped(const lb_problem *p)
{
    return p->b.scale == LB_PER_GROUP && p->b.scale_type == LB_TYPE_U8;
}

/* Groups whose scales are floats, so that there is no one integer sum. */
static bool has_float_groups(const lb_problem *p)
{
    return p->b.scale == LB_PER_GROUP && !lb_problem_is_stepped(p);
}

int lb_problem_is_exact(const lb_problem *p)
{
    return lb_problem_is_integer(p) && !has_float_groups(p) && is_piecewise(p->activation);
}

int64_t lb_problem_groups(const lb_problem *p)
{
    return has_float_groups(p) ? lb_problem_scale_groups(p) : 1;
}

int64_t lb_problem_group_length(const lb_problem *p)
{
    return has_float_groups(p) ? p->b.group : p->k;
}

int64_t lb_problem_scale_groups(const lb_problem *p)
{
    if (p->b.scale != LB_PER_GROUP || p->k == 0)
        return 1;
    return (p->k + p->b.group - 1) / p->b.group;
}

int64_t lb_granularity_count(const lb_problem *p, int32_t granularity)
{
    switch (granularity) {
    case LB_PER_TENSOR: return 1;
    case LB_PER_TOKEN: return p->m;
    case LB_PER_CHANNEL: return p->n;
    case LB_PER_GROUP: return p->n * lb_problem_scale_groups(p);
    default: return 0;
    }
}

double lb_problem_ops(const lb_problem *p)
{
    return 2.0 * (double)(p->batch ? p->batch : 1) * (double)p->m * (double)p->n * (double)p->k;
}

/* ---- Operands -------------------------------------------------------------------------------- */

int64_t lb_operand_row_bytes(const lb_operand *operand)
{
    return operand->ld * lb_type_bits(operand->type) / 8;
}

/* Checks and fills in ld and batch_stride of an operand of rows x cols elements. */
static lb_status fill_strides(const char *name, lb_operand *o, int64_t rows, int64_t cols,
                              int64_t batch)
{
    int bits = lb_type_bits(o->type);
    int64_t unit = bits < 8 ? 8 / bits : 1; /* elements in the least whole number of bytes */
    if (o->ld == 0)
        o->ld = (cols + unit - 1) / unit * unit;
    if (o->ld < cols)
        REFUSE("%s: ld %" PRId64 " is less than the row of %" PRId64
               " elements; use 0 or at least %" PRId64,
               name, o->ld, cols, (cols + unit - 1) / unit * unit);
    if (o->ld % unit)
        REFUSE("%s: ld %" PRId64 " of %s does not fill whole bytes; use a multiple of %" PRId64,
               name, o->ld, lb_type_name(o->type), unit);
    if (o->ld > MAX_SPAN_BITS / bits / (rows > 0 ? rows : 1))
        REFUSE("%s: %" PRId64 " rows of ld %" PRId64 " overflow the address range", name, rows,
               o->ld);
    int64_t dense = rows * o->ld;
    if (batch == 1 || o->batch_stride == 0)
        o->batch_stride = dense;
    if (o->batch_stride < dense)
        REFUSE("%s: batch stride %" PRId64 " is less than one matrix; use 0 or at least %" PRId64,
               name, o->batch_stride, dense);
    if (o->batch_stride % unit)
        REFUSE("%s: batch stride %" PRId64
               " of %s does not fill whole bytes; use a multiple of %" PRId64,
               name, o->batch_stride, lb_type_name(o->type), unit);
    if (o->batch_stride > MAX_SPAN_BITS / bits / batch)
        REFUSE("%s: %" PRId64 " batches of stride %" PRId64 " overflow the address range", name,
               batch, o->batch_stride);
    return LB_OK;
}

static const char *const granularity_names[] = {"none", "tensor", "token", "channel", "group"};

static lb_status check_granularity(const char *name, const char *what, int32_t value,
                                   unsigned allowed)
{
    if (value < 0 || value > LB_PER_GROUP)
        REFUSE("%s: %s granularity %d is unknown; lb_granularity has 0..%d", name, what, value,
               LB_PER_GROUP);
    if (!(allowed >> value & 1u))
        REFUSE("%s: a %s per %s does not exist here; %s", name, what, granularity_names[value],
               name[0] == 'A'   ? "A takes tensor or token"
               : name[0] == 'B' ? "B takes tensor, channel or group"
               : name[0] == 'D' ? "D takes tensor, channel or token (zero point: tensor)"
                                : "the residual takes tensor or channel (zero point: tensor)");
    return LB_OK;
}

#define G(name) (1u << LB_PER_##name)

/* Scale, zero point, group and layout of one operand, without regard to the others. */
static lb_status check_operand(const char *name, const lb_operand *o, uint32_t types,
                               unsigned scales, unsigned zeros)
{
    if (!lb_type_in(o->type, types)) {
        char set[96];
        REFUSE("%s: type %s (%d) is not one of %s", name, lb_type_name(o->type), o->type,
               lb_typeset_print(types, set, sizeof set));
    }
    if (o->layout != LB_LAYOUT_ROWS && !(name[0] == 'B' && o->layout == LB_LAYOUT_COLS))
        REFUSE("%s: layout %d is unknown; rows (0) works%s", name, o->layout,
               name[0] == 'B' ? ", cols (1) too" : "");
    LB_TRY(check_granularity(name, "scale", o->scale, scales | G(NONE)));
    LB_TRY(check_granularity(name, "zero point", o->zero, zeros | G(NONE)));
    if (o->zero && o->zero != LB_PER_TENSOR && o->zero != o->scale)
        REFUSE("%s: zero points per %s need scales per %s (they are per %s); else use zero points "
               "per tensor",
               name, granularity_names[o->zero], granularity_names[o->zero],
               granularity_names[o->scale]);
    if (o->zero && !lb_type_in(o->type, T_ZERO))
        REFUSE("%s: type %s has no zero point; s8, u8, s4, u4, s2 and u2 have", name,
               lb_type_name(o->type));
    if (o->scale == LB_PER_GROUP && (o->group <= 0 || o->group % 32))
        REFUSE("%s: group %d is not a positive multiple of 32", name, o->group);
    if (o->scale != LB_PER_GROUP && o->group)
        REFUSE("%s: group is %d but the scale is per %s; set group to 0 or the scale to group",
               name, o->group, granularity_names[o->scale]);
    bool typed = name[0] == 'B' && o->scale, grouped = typed && o->scale == LB_PER_GROUP;
    if (o->scale_type && o->scale_type != LB_TYPE_F32 &&
        !(typed && (o->scale_type == LB_TYPE_F16 || o->scale_type == LB_TYPE_BF16)) &&
        !(grouped && o->scale_type == LB_TYPE_U8))
        REFUSE("%s: scale type %s is not available; %s", name, lb_type_name(o->scale_type),
               grouped ? "use f32, f16, bf16 or u8"
               : typed ? "use f32, f16 or bf16; per group also u8"
                       : "only B's scales have one, here it is f32 (or 0)");
    if (o->ld < 0 || o->batch_stride < 0)
        REFUSE("%s: ld %" PRId64 " or batch stride %" PRId64 " is negative", name, o->ld,
               o->batch_stride);
    return LB_OK;
}

/* ---- The whole problem ----------------------------------------------------------------------- */

static lb_status check_dim(const char *name, int64_t value, int64_t limit)
{
    if (value < 0 || value > limit)
        REFUSE("%s is %" PRId64 "; 0 to %" PRId64 " work", name, value, limit);
    return LB_OK;
}

static int64_t largest_magnitude(const lb_operand *o)
{
    const lb_type_row *row = lb_type_get(o->type);
    int64_t low = o->type == LB_TYPE_T2 ? -2 : row->min; /* the spare code counts as -2 */
    if (o->scale == LB_PER_GROUP && o->scale_type == LB_TYPE_U8)
        return 128; /* whatever the zero points; packing sees to it */
    if (o->zero)
        return row->max - low;
    return -low > row->max ? -low : row->max;
}

/* The s32 accumulator must not be able to overflow, whatever the data. */
static lb_status check_accumulator(const lb_problem *p)
{
    int64_t length = lb_problem_group_length(p) < p->k ? lb_problem_group_length(p) : p->k;
    int64_t limit = INT32_MAX / (largest_magnitude(&p->a) * largest_magnitude(&p->b));
    if (length <= limit)
        return LB_OK;
    return lb_fail(LB_UNSUPPORTED,
                   "k %" PRId64 ": a sum of %" PRId64
                   " products %s*%s can overflow the s32 accumulator; at most "
                   "%" PRId64 " are safe: use group scales or split k",
                   p->k, length, lb_type_name(p->a.type), lb_type_name(p->b.type), limit);
}

/* Weights with scales of two levels. */
static lb_status check_stepped(const lb_problem *p)
{
    char set[96];
    if (!lb_problem_is_stepped(p))
        return LB_OK;
    if (!lb_type_in(p->b.type, LB_T_STEPPED))
        REFUSE("B: scales of u8 per group make 8 bits of fewer, %s has no place for them; %s have",
               lb_type_name(p->b.type), lb_typeset_print(LB_T_STEPPED, set, sizeof set));
    if (!lb_type_is_int(p->a.type))
        REFUSE("B: scales of u8 per group need integer activations, A is %s; use scales of f16, "
               "bf16 or f32",
               lb_type_name(p->a.type));
    return LB_OK;
}

/* Weights that are indices into tables. */
static lb_status check_table(const lb_problem *p)
{
    if (p->reserved)
        REFUSE("problem.reserved is %d; use 0", p->reserved);
    if (!lb_type_is_table(p->b.type)) {
        if (p->b_table)
            REFUSE("b_table is %d, but %s weights have no table; c4 and c2 have", p->b_table,
                   lb_type_name(p->b.type));
        return LB_OK;
    }
    if (!lb_type_is_float(p->a.type))
        REFUSE("B: %s weights are floats by table, A is %s; use f16, bf16 or f32 activations",
               lb_type_name(p->b.type), lb_type_name(p->a.type));
    bool own = p->b_table == LB_PER_CHANNEL || p->b_table == LB_PER_GROUP;
    if (p->b_table && p->b_table != LB_PER_TENSOR && !(own && p->b_table == p->b.scale))
        REFUSE("b_table is %d; it is per tensor (%d), or as the scale of B (%d) if that is per "
               "channel "
               "or group",
               p->b_table, LB_PER_TENSOR, p->b.scale);
    return LB_OK;
}

int64_t lb_problem_table_entries(const lb_problem *p)
{
    return lb_type_is_table(p->b.type) ? INT64_C(1) << lb_type_bits(p->b.type) : 0;
}

static lb_status check_epilogue(const lb_problem *p)
{
    bool integer = lb_problem_is_integer(p);
    if (p->bias && !lb_type_in(p->bias, T_BIAS))
        REFUSE("bias type %s (%d) is not one of s32, f32, f16, bf16", lb_type_name(p->bias),
               p->bias);
    if (p->bias == LB_TYPE_S32 && (!integer || has_float_groups(p)))
        REFUSE("a bias of s32 is added to one integer sum, which %s; use f32, f16 or bf16",
               integer ? "group scales do not have" : "float activations do not have");
    if (p->activation < 0 || p->activation > LB_ACT_HARD_SWISH)
        REFUSE("activation %d is unknown; lb_activation has 0..%d", p->activation,
               LB_ACT_HARD_SWISH);
    if (p->clamp != 0 && p->clamp != 1)
        REFUSE("clamp is %d; 0 or 1 work", p->clamp);
    if (p->clamp && !(p->clamp_min <= p->clamp_max))
        REFUSE("clamp from %g to %g is empty", (double)p->clamp_min, (double)p->clamp_max);
    if (lb_type_is_float(p->d.type) && (p->d.scale || p->d.zero))
        REFUSE("D: %s has no scale or zero point; only integer outputs have",
               lb_type_name(p->d.type));
    if (p->d.type == LB_TYPE_B1 && p->d.scale && p->rounding != LB_ROUND_THRESHOLD)
        REFUSE("D: b1 is a sign and has no scale; rounding threshold compares with integers");
    return LB_OK;
}

/* ---- Rounding -------------------------------------------------------------------------------- */

static const char *const rounding_names[] = {"even", "gemmlowp",   "fixed",    "dyadic",
                                             "pow2", "stochastic", "threshold"};
#define ROUNDING(p) rounding_names[(p)->rounding]

#define MAX_THREE (1 << 24)
#define MAX_ACT_SHIFT 24

static lb_status check_hard_swish(const lb_problem *p)
{
    bool integers = lb_problem_is_fixed(p) && p->activation == LB_ACT_HARD_SWISH;
    if (!integers && (p->act_three || p->act_shift))
        REFUSE(
            "act_three is %d and act_shift %d, but only hard-swish with an integer-only rounding "
            "has them; use 0",
            p->act_three, p->act_shift);
    if (integers && (p->act_three < 1 || p->act_three > MAX_THREE))
        REFUSE("act_three is %d; hard-swish in integers takes 1 to %d", p->act_three, MAX_THREE);
    if (integers && (p->act_shift < 0 || p->act_shift > MAX_ACT_SHIFT))
        REFUSE("act_shift is %d; hard-swish in integers takes 0 to %d", p->act_shift,
               MAX_ACT_SHIFT);
    return LB_OK;
}

/* Whole and within s32: a limit of D's codes. */
static bool is_code(float limit)
{
    return limit >= -2147483648.0f && limit < 2147483648.0f && limit == (float)(int32_t)limit;
}

/* What integer-only roundings leave out, and what they need. */
static lb_status check_fixed(const lb_problem *p)
{
    if (!lb_problem_is_integer(p) || has_float_groups(p))
        REFUSE("rounding %s needs one integer sum, which %s; use even or stochastic", ROUNDING(p),
               lb_problem_is_integer(p) ? "group scales do not have"
                                        : "float operands do not have");
    if (p->a.scale || p->b.scale)
        REFUSE("rounding %s takes no scale of %s; fold it into the multipliers of D", ROUNDING(p),
               p->a.scale ? "A" : "B");
    if (!p->d.scale)
        REFUSE("rounding %s needs multipliers: give D a scale per tensor, channel or token",
               ROUNDING(p));
    if (p->bias && p->bias != LB_TYPE_S32)
        REFUSE("rounding %s takes a bias of s32, not %s", ROUNDING(p), lb_type_name(p->bias));
    if (p->residual.type && !lb_type_in(p->residual.type, T_RESIDUAL_INT))
        REFUSE("rounding %s takes an integer residual, not %s", ROUNDING(p),
               lb_type_name(p->residual.type));
    if (p->activation != LB_ACT_NONE && p->activation != LB_ACT_RELU &&
        p->activation != LB_ACT_HARD_SWISH)
        REFUSE("rounding %s takes ReLU and hard-swish (for ReLU6 a clamp to the codes of 0 and 6), "
               "not activation %d",
               ROUNDING(p), p->activation);
    if (p->clamp && !(is_code(p->clamp_min) && is_code(p->clamp_max)))
        REFUSE("rounding %s clamps codes of D: %g to %g are not whole numbers of 32 bits",
               ROUNDING(p), (double)p->clamp_min, (double)p->clamp_max);
    if (p->rounding != LB_ROUND_THRESHOLD)
        return LB_OK;
    if (p->d.type != LB_TYPE_B1)
        REFUSE("rounding threshold makes b1, not %s", lb_type_name(p->d.type));
    if (p->residual.type || p->activation || p->clamp)
        REFUSE("rounding threshold takes no %s; fold it into the thresholds",
               p->residual.type ? "residual"
               : p->activation  ? "activation"
                                : "clamp");
    return LB_OK;
}

static lb_status check_rounding(const lb_problem *p)
{
    if (p->rounding < 0 || p->rounding > LB_ROUND_THRESHOLD)
        REFUSE("rounding %d is unknown; lb_rounding has 0..%d", p->rounding, LB_ROUND_THRESHOLD);
    LB_TRY(check_hard_swish(p));
    if (p->rounding == LB_ROUND_EVEN)
        return LB_OK;
    if (lb_type_is_float(p->d.type))
        REFUSE("rounding %s makes integers; D is %s", ROUNDING(p), lb_type_name(p->d.type));
    if (p->rounding == LB_ROUND_STOCHASTIC) {
        if (p->d.type == LB_TYPE_B1)
            REFUSE("D: b1 is a sign and is not rounded; use even");
        return LB_OK;
    }
    return check_fixed(p);
}

lb_status lb_problem_normalise(const lb_problem *problem, lb_problem *out)
{
    LB_CHECK_STRUCT(problem, lb_problem);
    lb_problem p = *problem;
    if (p.flags)
        REFUSE("problem flags are 0x%x; none exist, use 0", p.flags);
    LB_TRY(check_dim("m", p.m, MAX_DIM));
    LB_TRY(check_dim("n", p.n, MAX_DIM));
    LB_TRY(check_dim("k", p.k, MAX_DIM));
    LB_TRY(check_dim("batch", p.batch, MAX_BATCH));
    if (p.batch == 0)
        p.batch = 1;

    LB_TRY(check_operand("A", &p.a, LB_T_INT | LB_T_FLOAT, G(TENSOR) | G(TOKEN),
                         G(TENSOR) | G(TOKEN)));
    LB_TRY(check_operand("B", &p.b, LB_T_INT | LB_T_FLOAT | LB_T_TABLE,
                         G(TENSOR) | G(CHANNEL) | G(GROUP), G(TENSOR) | G(CHANNEL) | G(GROUP)));
    LB_TRY(check_operand("D", &p.d, LB_T_OUT_ANY, G(TENSOR) | G(CHANNEL) | G(TOKEN), G(TENSOR)));
    if (p.residual.type)
        LB_TRY(
            check_operand("residual", &p.residual, T_RESIDUAL, G(TENSOR) | G(CHANNEL), G(TENSOR)));
    if (lb_type_is_float(p.a.type) && p.a.scale)
        REFUSE("A: %s activations have no scale; fold it into B's", lb_type_name(p.a.type));
    LB_TRY(check_table(&p));
    LB_TRY(check_stepped(&p));
    LB_TRY(check_epilogue(&p));
    LB_TRY(check_rounding(&p));

    int64_t b_rows = p.b.layout == LB_LAYOUT_COLS ? p.k : p.n,
            b_cols = p.b.layout == LB_LAYOUT_COLS ? p.n : p.k;
    LB_TRY(fill_strides("A", &p.a, p.m, p.k, p.batch));
    LB_TRY(fill_strides("B", &p.b, b_rows, b_cols, p.batch));
    LB_TRY(fill_strides("D", &p.d, p.m, p.n, p.batch));
    if (p.residual.type)
        LB_TRY(fill_strides("residual", &p.residual, p.m, p.n, p.batch));
    else
        memset(&p.residual, 0, sizeof p.residual);
    p.a.scale_type = p.d.scale_type = p.residual.scale_type = 0; /* f32 or 0: no difference */
    if (!p.b.scale)
        p.b.scale_type = 0;
    else if (!p.b.scale_type)
        p.b.scale_type = LB_TYPE_F32;
    if (lb_type_is_table(p.b.type) && !p.b_table)
        p.b_table = LB_PER_TENSOR;
    if (lb_problem_is_integer(&p))
        LB_TRY(check_accumulator(&p));
    if (!p.clamp)
        p.clamp_min = p.clamp_max = 0;
    *out = p;
    return LB_OK;
}

lb_status lb_problem_check(const lb_problem *problem)
{
    lb_problem ignored;
    return lb_problem_normalise(problem, &ignored);
}

/* ---- Sizes ----------------------------------------------------------------------------------- */

static uint64_t operand_bytes(const lb_operand *o, int64_t rows, int64_t cols, int64_t batch)
{
    if (rows == 0 || cols == 0 || !o->type)
        return 0;
    uint64_t elements = (uint64_t)((batch - 1) * o->batch_stride + (rows - 1) * o->ld + cols);
    return (elements * (unsigned)lb_type_bits(o->type) + 7) / 8;
}

void lb_problem_sizes_of(const lb_problem *p, lb_sizes *sizes)
{
    uint64_t batch = (uint64_t)p->batch;
    uint64_t factor = lb_problem_is_fixed(p) ? sizeof(lb_multiplier) : sizeof(float);
#define COUNT(granularity) ((uint64_t)lb_granularity_count(p, granularity))
    *sizes = (lb_sizes){
        .struct_size = sizeof *sizes,
        .a = operand_bytes(&p->a, p->m, p->k, p->batch),
        .a_scale = batch * COUNT(p->a.scale) * 4,
        .a_zero = batch * COUNT(p->a.zero) * 4,
        .b = p->b.layout == LB_LAYOUT_COLS ? operand_bytes(&p->b, p->k, p->n, p->batch)
                                           : operand_bytes(&p->b, p->n, p->k, p->batch),
        .b_scale = batch * COUNT(p->b.scale) * (unsigned)lb_type_bits(p->b.scale_type) / 8,
        .b_zero = batch * COUNT(p->b.zero) * 4,
        .d = operand_bytes(&p->d, p->m, p->n, p->batch),
        .d_scale = COUNT(p->d.scale) * factor,
        .d_zero = COUNT(p->d.zero) * 4,
        .bias = batch * (uint64_t)p->n * (unsigned)lb_type_bits(p->bias) / 8,
        .residual = operand_bytes(&p->residual, p->m, p->n, p->batch),
        .residual_scale = COUNT(p->residual.scale) * factor,
        .residual_zero = COUNT(p->residual.zero) * 4,
        .random = p->rounding == LB_ROUND_STOCHASTIC ? 2 * sizeof(uint64_t) : 0,
        .b_table = batch * COUNT(p->b_table) * (uint64_t)lb_problem_table_entries(p) * 4,
        .d_sums = p->n && lb_sums_are_of(p->d.type) ? batch * (uint64_t)p->m * 4 : 0,
        .b_channel_scale = lb_problem_is_stepped(p) ? batch * (uint64_t)p->n * 4 : 0,
    };
#undef COUNT
}

lb_status lb_problem_sizes(const lb_problem *problem, lb_sizes *sizes)
{
    lb_problem p;
    LB_CHECK_STRUCT(sizes, lb_sizes);
    LB_TRY(lb_problem_normalise(problem, &p));
    lb_problem_sizes_of(&p, sizes);
    return LB_OK;
}
