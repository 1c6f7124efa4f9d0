/* SPDX-License-Identifier: Apache-2.0 */
/* Quantisers on devices: the rules of a call, and the definition of every code by plain loops. */
#include "quantizer.h"

#include <inttypes.h>
#include <stdlib.h>

#include "quantize.h"
#include "quantize_units.h"
#include "status.h"
#include "types.h"

/* ---- Making ---------------------------------------------------------------------------------- */

static lb_status check_norm(const lb_quant *q)
{
    if (q->norm_type == 0 && q->norm_epsilon == 0)
        return LB_OK;
    if (!lb_type_is_float(q->norm_type))
        return lb_fail(
            LB_INVALID_ARGUMENT,
            "lb_quantizer_create: norm_type %s (%d) is no float; f32, f16 and bf16 are, 0 "
            "with norm_epsilon 0 is no norm",
            lb_type_name(q->norm_type), q->norm_type);
    if (!(q->norm_epsilon >= LB_NORM_LEAST_EPSILON && q->norm_epsilon <= 1))
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_quantizer_create: norm_epsilon %g is not within 1e-12 to 1",
                       (double)q->norm_epsilon);
    return LB_OK;
}

lb_status lb_quantizer_create(lb_context *context, const lb_quant *quant, lb_quantizer **quantizer)
{
    lb_units units;
    if (!context || !quantizer)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_quantizer_create: %s is NULL",
                       context ? "quantizer" : "context");
    LB_TRY(lb_units_shape(quant, &units));
    LB_TRY(check_norm(quant));
    if (units.quant.granularity != LB_PER_TOKEN || units.quant.calibrator != LB_CALIBRATE_MINMAX)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_quantizer_create: granularity %d with calibrator %d; devices quantise "
                       "per token (%d) "
                       "by min-max (%d)",
                       units.quant.granularity, units.quant.calibrator, LB_PER_TOKEN,
                       LB_CALIBRATE_MINMAX);
    if (units.quant.rows > INT32_MAX || units.quant.cols > INT32_MAX - 15)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_quantizer_create: %" PRId64 " x %" PRId64
                       "; up to 2^31 - 16 rows and columns work",
                       units.quant.rows, units.quant.cols);
    if (!context->backend->quantizer_open)
        return lb_fail(
            LB_UNSUPPORTED,
            "lb_quantizer_create: backend %s does not quantise; lb_quantize does, on the host",
            context->backend->name);
    lb_quantizer *made = calloc(1, sizeof *made);
    if (!made)
        return lb_fail(LB_OUT_OF_MEMORY, "lb_quantizer_create: no memory for a quantiser");
    made->context = context;
    made->quant = units.quant;
    lb_status status = context->backend->quantizer_open(made);
    if (status != LB_OK) {
        free(made);
        return status;
    }
    *quantizer = made;
    return LB_OK;
}

void lb_quantizer_destroy(lb_quantizer *quantizer)
{
    if (!quantizer)
        return;
    quantizer->context->backend->quantizer_close(quantizer);
    free(quantizer);
}

/* ---- A call ---------------------------------------------------------------------------------- */

static bool has_zeros(const lb_quant *q)
{
    return q->scheme == LB_QUANT_ASYMMETRIC || lb_grid_of(q->type, q->scheme).zero != 0;
}

static lb_status check_call(const lb_quantizer *quantizer, const lb_quantizer_args *args,
                            lb_quantizer_call *call)
{
    const lb_quant *q = &quantizer->quant;
    int64_t rows = args->rows ? args->rows : q->rows, ld = args->x_ld ? args->x_ld : q->cols;
    if (args->flags)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_quantizer_run: flags are 0x%x; none exist, use 0",
                       args->flags);
    if (rows < 0 || rows > q->rows)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_quantizer_run: %" PRId64 " rows, the quantiser takes 1 to %" PRId64
                       " (0 = all)",
                       rows, q->rows);
    if (ld < q->cols)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_quantizer_run: x_ld %" PRId64 " is less than the row of %" PRId64
                       "; use 0 or more",
                       ld, q->cols);
    uint64_t row_bytes = (uint64_t)(q->cols * lb_type_bits(q->type) + 7) / 8;
    uint64_t element = (uint64_t)lb_type_bits(q->x_type) / 8, values = (uint64_t)rows * 4;
    uint64_t norm_element = q->norm_type ? (uint64_t)lb_type_bits(q->norm_type) / 8 : 1;
    *call = (lb_quantizer_call){.rows = rows, .x_ld = ld, .row_bytes = row_bytes};
    if (rows == 0 || q->cols == 0)
        return LB_OK;
    call->x = ((uint64_t)(rows - 1) * (uint64_t)ld + (uint64_t)q->cols) * element;
    call->codes = (uint64_t)rows * row_bytes;
    call->scales = values;
    call->zeros = has_zeros(q) ? values : 0;
    call->sums = args->sums.base ? values : 0;
    call->norm_weight = q->norm_type ? (uint64_t)q->cols * norm_element : 0;
    const struct {
        const char *name;
        lb_ptr pointer;
        uint64_t bytes;
        size_t align;
    } table[] = {{"x", args->x, call->x, (size_t)element},
                 {"codes", args->codes, call->codes, 1},
                 {"scales", args->scales, call->scales, 4},
                 {"zeros", args->zeros, call->zeros, 4},
                 {"sums", args->sums, call->sums, 4},
                 {"norm_weight", args->norm_weight, call->norm_weight, (size_t)norm_element}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].bytes && !table[i].pointer.base)
            return lb_fail(LB_INVALID_ARGUMENT,
                           "lb_quantizer_run: %s is NULL; it takes %" PRIu64 " bytes",
                           table[i].name, table[i].bytes);
        if (table[i].bytes && table[i].pointer.offset % table[i].align)
            return lb_fail(LB_INVALID_ARGUMENT,
                           "lb_quantizer_run: %s: offset %zu is not a multiple of %zu",
                           table[i].name, table[i].pointer.offset, table[i].align);
    }
    return LB_OK;
}

lb_status lb_quantizer_run(const lb_quantizer *quantizer, const lb_quantizer_args *args,
                           lb_stream stream)
{
    lb_quantizer_call call;
    if (!quantizer)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_quantizer_run: quantizer is NULL");
    LB_CHECK_STRUCT(args, lb_quantizer_args);
    LB_TRY(check_call(quantizer, args, &call));
    if (call.rows == 0 || quantizer->quant.cols == 0)
        return LB_OK;
    return quantizer->context->backend->quantizer_run(quantizer, args, &call, stream);
}

/* ---- On the host ----------------------------------------------------------------------------- */

/* The values of a row that are quantised: x, or its RMSNorm. */
typedef struct row_values {
    const lb_quant *q;
    const char *x, *norm_weight;
    float inverse; /* of the root of the mean square */
} row_values;

static float element(int32_t type, const char *row, int64_t i)
{
    float value;
    lb_row_to_float(type, row, i, 1, &value);
    return value;
}

static float value_at(const row_values *v, int64_t i)
{
    float x = element(v->q->x_type, v->x, i);
    if (!v->q->norm_type)
        return x;
    return lb_norm_value(x, v->inverse, element(v->q->norm_type, v->norm_weight, i));
}

/* In the order that quantize.h says. */
static float sum_of_squares(const lb_quant *q, const char *x)
{
    float way[LB_NORM_WAYS][16] = {{0}};
    for (int64_t i = 0; i < q->cols; i++)
        way[i / 16 % LB_NORM_WAYS][i % 16] += lb_norm_square(element(q->x_type, x, i));
    for (int w = 0; w < LB_NORM_WAYS; w++)
        for (int half = 8; half > 0; half /= 2)
            for (int lane = 0; lane < half; lane++)
                way[w][lane] += way[w][lane + half];
    for (int half = LB_NORM_WAYS / 2; half > 0; half /= 2)
        for (int w = 0; w < half; w++)
            way[w][0] += way[w + half][0];
    return way[0][0];
}

static row_values values_of_row(const lb_quant *q, const char *x, const char *norm_weight)
{
    row_values v = {.q = q, .x = x, .norm_weight = norm_weight};
    if (q->norm_type)
        v.inverse = lb_norm_inverse(sum_of_squares(q, x), (int32_t)q->cols, q->norm_epsilon);
    return v;
}

/* How one row is quantised. */
typedef struct row_grid {
    lb_grid grid;
    float scale, inverse;
    int32_t zero;
} row_grid;

static row_grid grid_of_row(const row_values *v)
{
    const lb_quant *q = v->q;
    row_grid r = {.grid = lb_grid_of(q->type, q->scheme)};
    float least = 0, most = 0;
    r.zero = r.grid.zero;
    for (int64_t i = 0; i < q->cols; i++) {
        float x = value_at(v, i);
        least = x < least ? x : least;
        most = x > most ? x : most;
    }
    float size = most > -least ? most : -least;
    if (q->type == LB_TYPE_T2 || q->type == LB_TYPE_B1) {
        uint64_t total = 0;
        float unit = lb_mean_unit(size);
        for (int64_t i = 0; i < q->cols; i++)
            total += lb_mean_term(value_at(v, i), unit);
        r.scale = lb_mean_size(total, (uint64_t)q->cols, size);
    } else if (q->scheme == LB_QUANT_ASYMMETRIC) {
        r.scale = lb_asymmetric_scale(least, most, r.grid, &r.zero);
    } else {
        r.scale = lb_symmetric_scale(size, r.grid.half_span);
    }
    r.inverse = lb_divide(1, r.scale);
    return r;
}

lb_status lb_host_quantizer_open(lb_quantizer *quantizer)
{
    (void)quantizer;
    return LB_OK;
}

void lb_host_quantizer_close(lb_quantizer *quantizer)
{
    (void)quantizer;
}

lb_status lb_host_quantizer_run(const lb_quantizer *quantizer, const lb_quantizer_args *args,
                                const lb_quantizer_call *call, lb_stream stream)
{
    const lb_quant *q = &quantizer->quant;
    int bits = lb_type_bits(q->type);
    (void)stream;
#define AT(name) ((char *)args->name.base + args->name.offset)
    for (int64_t row = 0; row < call->rows; row++) {
        const char *x = AT(x) + row * call->x_ld * lb_type_bits(q->x_type) / 8;
        uint8_t *codes = (uint8_t *)AT(codes) + (uint64_t)row * call->row_bytes;
        row_values v = values_of_row(q, x, AT(norm_weight));
        row_grid r = grid_of_row(&v);
        int32_t sum = 0;
        codes[call->row_bytes - 1] = 0; /* its padding bits */
        for (int64_t i = 0; i < q->cols; i++) {
            float value = value_at(&v, i);
            int32_t code = bits == 1 ? (value >= 0 ? 1 : -1)
                                     : lb_quantize_code(value, r.scale, r.inverse, r.zero,
                                                        r.grid.least, r.grid.most);
            sum += code;
            lb_field_put(codes, (uint64_t)i * (unsigned)bits, bits,
                         lb_code_from_value(q->type, code) & ((1u << bits) - 1u));
        }
        ((float *)(void *)AT(scales))[row] = r.scale;
        if (call->zeros)
            ((int32_t *)(void *)AT(zeros))[row] = r.zero;
        if (call->sums)
            ((int32_t *)(void *)AT(sums))[row] = sum;
    }
#undef AT
    return LB_OK;
}
