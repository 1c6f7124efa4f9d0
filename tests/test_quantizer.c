/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantisers of every device: the same bytes as the reference, for every type, scheme and type of
 * x, rows of many lengths, special values among them; the reference itself against lb_quantize with
 * scales that lb_quantize_calibrate finds by ordinary division.
 */
#include <math.h>

#include "quantizers.h"

#include "quantize.h"
#if LB_WITH_OPENCL
#include "opencl.h"
#endif

Test(quantizer, devices_give_the_same_bits)
{
    ref = open_device("ref");
    other = open_device("auto");
    lb_device_info info = LB_DEVICE_INFO_INIT;
    check_ok(lb_context_info(other, &info));
    int rows = visit_all(compare_devices), norms = visit_norms(compare_devices);
    fprintf(stderr, "%s: %d rows equal, %d of an RMSNorm\n", info.selector, rows, norms);
    lb_context_destroy(other);
    lb_context_destroy(ref);
}

/* A CPU that is said to be a GPU, which gives a work-group to each row. */
Test(quantizer, work_groups_give_the_same_bits)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    desc.device = "opencl";
#if LB_WITH_OPENCL
    lb_opencl_pretend = "gpu";
#endif
    if (lb_context_create(&desc, &other) == LB_NO_DEVICE)
        cr_skip_test("%s", lb_last_error());
    ref = open_device("ref");
    visit_norms(compare_devices);
    lb_context_destroy(other);
    lb_context_destroy(ref);
}

static float load(int32_t type, const unsigned char *row, int i)
{
    float value;
    uint16_t half;
    memcpy(&half, row + 2 * i, 2);
    uint32_t bits = (uint32_t)half << 16; /* bf16 */
    memcpy(&value, &bits, sizeof value);
    if (type == LB_TYPE_F32)
        memcpy(&value, row + 4 * i, sizeof value);
    else if (type == LB_TYPE_F16)
        value = (half & 0x8000 ? -1.0F : 1.0F) *
                (half >> 10 & 31 ? ldexpf((float)(1024 + (half & 1023)), (half >> 10 & 31) - 25)
                                 : (float)(half & 1023) * 0x1p-24F);
    return value;
}

/* t2 and b1: the mean size, to 16 bits of the largest. */
static void check_mean(const lb_quant *q, const unsigned char *row, float scale)
{
    double mean = 0, largest = 0;
    for (int i = 0; i < q->cols; i++) {
        double size = fmin(fabs((double)load(q->x_type, row, i)), 0x1p120);
        mean += size / (double)q->cols;
        largest = fmax(largest, size);
    }
    cr_assert(mean < 0x1p-99 ? scale == 1 || scale < 0x1p-99F
                             : fabs((double)scale - mean) <= largest * 0x1p-16,
              "%g, not %g", (double)scale, mean);
}

/* Rows of finite values, by calibration and ordinary division. */
static void compare_host(const lb_quant *q, const unsigned char *x, int ld)
{
    static result r;
    static unsigned char codes[MOST];
    uint64_t row_bytes;
    lb_quant one = *q;
    one.rows = 1;
    run(ref, q, x, ld, &r);
    check_ok(lb_quant_bytes(&one, &row_bytes));
    for (int row = 0; row < ROWS; row++) {
        const unsigned char *from = x + (size_t)(row * ld) * size_of(q->x_type);
        float scale;
        int32_t zero = 0;
        lb_status status = lb_quantize_calibrate(&one, from, &scale, &zero);
        if (status == LB_BAD_DATA)
            continue;
        cr_assert(status == LB_OK, "%s", lb_last_error());
        if (q->type == LB_TYPE_T2 || q->type == LB_TYPE_B1) {
            check_mean(q, from, r.scales[row]);
            scale = r.scales[row];
        }
        cr_assert(r.scales[row] == scale, "type %d scheme %d row %d: %a, not %a", q->type,
                  q->scheme, row, (double)r.scales[row], (double)scale);
        check_ok(lb_quantize(&one, from, &scale, &zero, codes));
        cr_assert(memcmp(codes, r.codes + (size_t)row * row_bytes, (size_t)row_bytes) == 0,
                  "type %d scheme %d x %d row %d", q->type, q->scheme, q->x_type, row);
    }
}

Test(quantizer, codes_are_those_of_the_definition)
{
    ref = open_device("ref");
    visit_all(compare_host);
    lb_context_destroy(ref);
}

/* Rows of finite values of moderate sizes, normalised in double: the scale is that of the values to
   the roundings of a few f32 operations, and so are the codes. */
static void compare_norm(const lb_quant *q, const unsigned char *x, int ld)
{
    static result r;
    static float weights[MOST];
    static double y[MOST];
    if (q->type != LB_TYPE_S8)
        return;
    run(ref, q, x, ld, &r);
    fill_norm(q->norm_type, weights);
    for (int row = 0; row < ROWS; row++) {
        if (row % 12 >= 5 && row % 12 <= 10)
            continue;
        double total = 0, largest = 0;
        const unsigned char *from = x + (size_t)(row * ld) * size_of(q->x_type);
        for (int i = 0; i < q->cols; i++)
            total += pow((double)load(q->x_type, from, i), 2);
        double root = sqrt(total / (double)q->cols + (double)q->norm_epsilon);
        for (int i = 0; i < q->cols; i++) {
            y[i] = (double)load(q->x_type, from, i) / root *
                   (double)load(q->norm_type, (const unsigned char *)weights, i);
            largest = fmax(largest, fabs(y[i]));
        }
        double scale = largest > 0 ? largest / 127.5 : 1;
        cr_assert(fabs((double)r.scales[row] / scale - 1) < 1e-5, "row %d of %d: %g, not %g", row,
                  (int)q->cols, (double)r.scales[row], scale);
        for (int i = 0; i < q->cols; i++) {
            double code = (int8_t)r.codes[(int64_t)row * q->cols + i];
            cr_assert(fabs(code - fmin(y[i] / scale, 127)) < 0.502 || code == -128,
                      "%d: %g, not %g", i, code, y[i] / scale);
        }
    }
}

Test(quantizer, an_rmsnorm_is_that_of_the_definition)
{
    ref = open_device("ref");
    visit_norms(compare_norm);
    lb_context_destroy(ref);
}

/* The root in integers is the machine's, whose square root is correctly rounded (IEEE 754). */
Test(quantizer, roots_are_rounded_correctly)
{
    uint32_t state = 3;
    for (int i = 0; i < 2000000; i++) {
        uint32_t bits = rig_random(&state) % 0x7f000000u + 0x800000u; /* normal, finite */
        float x = lb_bits_float(bits);
        cr_assert_eq(lb_sqrt(x), sqrtf(x), "%a: %a, not %a", (double)x, (double)lb_sqrt(x),
                     (double)sqrtf(x));
    }
    for (int e = -126; e < 127; e++)
        cr_assert_eq(lb_sqrt(ldexpf(1, e)), sqrtf(ldexpf(1, e)));
}

/* Float activations quantised on the device, then an integer product: as with the same codes from
   the host. */
Test(quantizer, feeds_a_product)
{
    enum { M = 6, N = 17, K = 70 };
    rig_inputs in;
    rig r;
    rig_lane lane;
    lb_quantizer *quantizer;
    lb_verify_report report = LB_VERIFY_REPORT_INIT;
    float x[M * K];
    uint8_t codes[M * K];
    float scales[M];
    int32_t zeros[M];
    uint32_t state = 5;
    rig_fill(LB_TYPE_F32, x, sizeof x, &state);
    other = open_device("auto");
    lb_quant q = quant_of(LB_TYPE_U8, LB_QUANT_ASYMMETRIC, LB_TYPE_F32, K);
    q.rows = M;
    check_ok(lb_quantize_calibrate(&q, x, scales, zeros));
    check_ok(lb_quantize(&q, x, scales, zeros, codes));
    check_ok(rig_inputs_make("u8.token.z*s4.channel->f32 m6 n17 k70", 3, &in));
    in.host.a = codes;
    in.host.a_scale = scales;
    in.host.a_zero = zeros;
    check_ok(rig_open(other, &in, NULL, &r));
    check_ok(lb_quantizer_create(other, &q, &quantizer));
    check_ok(rig_lane_open(&r, 0, &lane));
    memset(codes, 0, sizeof codes);
    lb_quantizer_args args = LB_QUANTIZER_ARGS_INIT;
    lb_ptr memory;
    check_ok(rig_upload(other, x, sizeof x, &memory));
    check_ok(lb_memory_write(other, r.args.a, codes, sizeof codes, NULL));
    args.x = memory;
    args.codes = r.args.a;
    args.scales = r.args.a_scale;
    args.zeros = r.args.a_zero;
    check_ok(lb_quantizer_run(quantizer, &args, lane.stream));
    check_ok(lb_stream_sync(other, lane.stream));
    check_ok(lb_quantize(&q, x, scales, zeros, codes));
    check_ok(rig_lane_check(&lane, &report));
    cr_assert(report.wrong == 0 && report.exact);
    lb_memory_free(other, memory);
    lb_quantizer_destroy(quantizer);
    rig_lane_close(&lane);
    rig_close(&r);
    rig_inputs_free(&in);
    lb_context_destroy(other);
}

Test(quantizer, refusals)
{
    lb_quantizer *quantizer;
    lb_quantizer_args args = LB_QUANTIZER_ARGS_INIT;
    lb_quant q = quant_of(LB_TYPE_U8, LB_QUANT_ASYMMETRIC, LB_TYPE_F32, 16);
    float x[16 * ROWS];
    ref = open_device("ref");
    q.granularity = LB_PER_TENSOR;
    check_status(lb_quantizer_create(ref, &q, &quantizer), LB_INVALID_ARGUMENT, "per token");
    q.granularity = LB_PER_TOKEN;
    q.calibrator = LB_CALIBRATE_MSE;
    check_status(lb_quantizer_create(ref, &q, &quantizer), LB_INVALID_ARGUMENT, "by min-max");
    q.calibrator = 0;
    check_ok(lb_quantizer_create(ref, &q, &quantizer));
    check_status(lb_quantizer_run(quantizer, &args, NULL), LB_INVALID_ARGUMENT,
                 "x is NULL; it takes 1536 bytes");
    args.x.base = args.codes.base = args.scales.base = x;
    check_status(lb_quantizer_run(quantizer, &args, NULL), LB_INVALID_ARGUMENT, "zeros is NULL");
    args.rows = ROWS + 1;
    check_status(lb_quantizer_run(quantizer, &args, NULL), LB_INVALID_ARGUMENT, "25 rows");
    args.rows = 0;
    args.x_ld = 15;
    check_status(lb_quantizer_run(quantizer, &args, NULL), LB_INVALID_ARGUMENT, "x_ld 15");
    args.x_ld = 0;
    args.x.offset = 2;
    check_status(lb_quantizer_run(quantizer, &args, NULL), LB_INVALID_ARGUMENT,
                 "not a multiple of 4");
    lb_quantizer_destroy(quantizer);
    q.norm_type = LB_TYPE_S8;
    check_status(lb_quantizer_create(ref, &q, &quantizer), LB_INVALID_ARGUMENT,
                 "norm_type s8 (1) is no float");
    q.norm_type = 0;
    q.norm_epsilon = 1;
    check_status(lb_quantizer_create(ref, &q, &quantizer), LB_INVALID_ARGUMENT, "0 is no norm");
    q.norm_type = LB_TYPE_BF16;
    for (int i = 0; i < 3; i++) {
        q.norm_epsilon = i == 0 ? 0 : i == 1 ? 1.5F : NAN;
        check_status(lb_quantizer_create(ref, &q, &quantizer), LB_INVALID_ARGUMENT,
                     "is not within 1e-12 to 1");
    }
    q.norm_epsilon = 1e-6F;
    check_status(lb_quantize(&q, x, x, NULL, x), LB_INVALID_ARGUMENT,
                 "an RMSNorm is for lb_quantizer_create");
    check_ok(lb_quantizer_create(ref, &q, &quantizer));
    args.x.offset = 0;
    args.zeros.base = x;
    check_status(lb_quantizer_run(quantizer, &args, NULL), LB_INVALID_ARGUMENT,
                 "norm_weight is NULL; it takes 32 bytes");
    args.norm_weight = (lb_ptr){x, 1};
    check_status(lb_quantizer_run(quantizer, &args, NULL), LB_INVALID_ARGUMENT,
                 "norm_weight: offset 1 is not a multiple of 2");
    lb_quantizer_destroy(quantizer);
    lb_context_destroy(ref);
}
