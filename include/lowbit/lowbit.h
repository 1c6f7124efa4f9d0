/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lowbit: low-bit matrix multiplication with one C ABI.
 *
 *     D[m,n] = convert( epilogue( sum_k (A[m,k] - za) * (B[n,k] - zb) ) )
 *
 * A are activations, [M][K]; B are weights, [N][K]; D is [M][N]; all with K (for D: N) contiguous.
 * Elements are 8, 4, 2 or 1 bit wide (activations also f16, bf16, f32). One problem descriptor says
 * what is computed, a context says where, a plan has chosen a kernel, and a run only enqueues it.
 *
 *     lb_context *ctx;  lb_plan *plan;  lb_weights *w;  lb_problem p;
 *     lb_context_create(NULL, &ctx);                          // the best device present
 *     lb_problem_parse("s8.token*s4.channel->f16 m16 n4096 k4096", &p);    // or fill the struct
 *     lb_plan_create(ctx, &p, NULL, &plan);                   // chooses a kernel
 *     lb_weights_create(plan, &(lb_weights_source){.struct_size = sizeof(lb_weights_source),
 *                       .codes = q, .scales = s}, &w);        // prepacked once
 *     lb_args args = LB_ARGS_INIT;                            // device pointers
 *     args.weights = w;  args.a = x;  args.a_scale = sx;  args.d = y;  args.workspace = scratch;
 *     lb_run(plan, &args, stream);                            // asynchronous
 *
 * Conventions
 *  - Every fallible function returns a status; lb_last_error() then holds one sentence that names
 * the value, the limit and what would work. On any status but LB_OK nothing was written to the
 * outputs; only where a device fails while it computes (LB_DRIVER of lb_run_host, of a sync or of a
 * copy) is D undefined; see also lb_args.d_sums.
 *  - Structs begin with struct_size (set by their *_INIT macro); fields are only ever appended.
 *  - The caller owns all memory, the workspace and the stream. lb_run never allocates, locks, waits
 * or reads back; it is asynchronous where the device is.
 *  - Threads: see "Threads" at the end.
 */
#ifndef LOWBIT_LOWBIT_H
#define LOWBIT_LOWBIT_H

#include <stddef.h>
#include <stdint.h>

#include "lowbit/version.h"

#if defined(LB_STATIC)
#define LB_API
#elif defined(__GNUC__)
#define LB_API __attribute__((visibility("default")))
#else
#define LB_API
#endif

/* A struct with struct_size set and all else zero; behind the *_INIT macros. */
#ifdef __cplusplus
#define LB_STRUCT_INIT(type)                                                                       \
    ([] {                                                                                          \
        type value = type();                                                                       \
        value.struct_size = static_cast<uint32_t>(sizeof(type));                                   \
        return value;                                                                              \
    }())
#else
#define LB_STRUCT_INIT(type)                                                                       \
    {                                                                                              \
        .struct_size = (uint32_t)sizeof(type)                                                      \
    }
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Version --------------------------------------------------------------------------------- */

/* LB_VERSION_MAJOR * 10000 + MINOR * 100 + PATCH of the library that is loaded (LB_VERSION: of this
 * header). */
LB_API int lb_version(void);
/* The same as text, e.g. "0.1.0". Static storage. */
LB_API const char *lb_version_string(void);

/* ---- Status ---------------------------------------------------------------------------------- */

/* Values are pinned for ever. */
typedef enum lb_status {
    LB_OK = 0,
    LB_INVALID_ARGUMENT = 1, /* a value is malformed, out of range or contradicts another */
    LB_UNSUPPORTED = 2, /* a meaningful problem that no kernel here accepts; lb_explain says why */
    LB_NO_DEVICE = 3,   /* no such device, or its driver is not installed */
    LB_DRIVER = 4,      /* the device's driver failed; the text carries its code and build log */
    LB_OUT_OF_MEMORY = 5, /* host or device memory */
    LB_BAD_DATA = 6,      /* a weights blob is foreign, truncated, damaged or of another version */
    LB_BUSY = 7,          /* more than LB_MAX_CONCURRENT_RUNS threads inside lb_run of one plan */
    LB_INTERNAL = 8       /* a bug of ours: please report the text */
} lb_status;

/* "LB_OK", "LB_INVALID_ARGUMENT", ...; never NULL, also for unknown values. Static storage. */
LB_API const char *lb_status_string(lb_status status);
/* The sentence about the last failure in this thread; "" if none. Valid until the thread's next
 * failing call. */
LB_API const char *lb_last_error(void);

/* ---- Element types --------------------------------------------------------------------------- */

/*
 * In memory, elements narrower than a byte are packed low bits first and every row starts on a
 * byte. s4, s2 and t2 are two's complement. t2 is ternary {-1, 0, 1} (codes 11, 00, 01; code 10 is
 * refused when weights are packed, and counts as -2 in activations). b1 is binary: bit 1 = +1, bit
 * 0 = -1. c4 and c2 are weights whose codes are indices into a table of 16 or 4 f32 (NF4 or any
 * other grid): for float activations only.
 */
typedef enum lb_type {
    LB_TYPE_NONE = 0,
    LB_TYPE_S8 = 1,
    LB_TYPE_U8 = 2,
    LB_TYPE_S4 = 3,
    LB_TYPE_U4 = 4,
    LB_TYPE_S2 = 5,
    LB_TYPE_U2 = 6,
    LB_TYPE_T2 = 7,
    LB_TYPE_B1 = 8,
    LB_TYPE_S32 = 9,
    LB_TYPE_F16 = 10,
    LB_TYPE_BF16 = 11,
    LB_TYPE_F32 = 12,
    LB_TYPE_C4 = 13,
    LB_TYPE_C2 = 14,
    LB_TYPE_COUNT = 15
} lb_type;

/* "s8", "b1", ...; "?" for an unknown value. */
LB_API const char *lb_type_name(int32_t type);
/* Bits of one element; 0 for an unknown value. */
LB_API int lb_type_bits(int32_t type);

/* ---- Problem --------------------------------------------------------------------------------- */

/* How many values a scale or zero point has. Group: along K, per row of B. */
typedef enum lb_granularity {
    LB_PER_NONE = 0,    /* absent: scale 1, zero point 0 */
    LB_PER_TENSOR = 1,  /* one value */
    LB_PER_TOKEN = 2,   /* A, [batch][M], and D, [M]: one per row */
    LB_PER_CHANNEL = 3, /* one per row of B = column of D: B [batch][N]; D and the residual [N] */
    LB_PER_GROUP = 4    /* B only: one per row and group of K, [batch][N][ceil(K / group)] */
} lb_granularity;

/* How the caller's weights lie in host memory before they are packed. A, D and the residual are
 * LB_LAYOUT_ROWS. */
typedef enum lb_layout_id {
    LB_LAYOUT_ROWS = 0, /* [N][K], K contiguous */
    LB_LAYOUT_COLS = 1  /* [K][N], N contiguous (ONNX MatMul order) */
} lb_layout_id;

typedef enum lb_activation {
    LB_ACT_NONE = 0,
    LB_ACT_RELU = 1,
    LB_ACT_SILU = 2,      /* x / (1 + exp(-x)) */
    LB_ACT_GELU = 3,      /* x/2 * (1 + erf(x / sqrt 2)) */
    LB_ACT_GELU_TANH = 4, /* x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))) */
    LB_ACT_RELU6 = 5,     /* min(max(x, 0), 6) */
    LB_ACT_HARD_SWISH = 6 /* x * min(max(x + 3, 0), 6) / 6; in integers: lb_problem.act_three */
} lb_activation;

/*
 * How a sum becomes an integer D. EVEN and STOCHASTIC end the float epilogue. The others are
 * integer only: bias, residual, activation, scale, zero point and clamp without a float anywhere.
 * There D's scale is an array of lb_multiplier.
 */
typedef enum lb_rounding {
    LB_ROUND_EVEN = 0,     /* float scale, ties to even (ONNX) */
    LB_ROUND_GEMMLOWP = 1, /* doubling high multiply, then a rounding shift (gemmlowp, TFLite) */
    LB_ROUND_FIXED = 2,  /* value * acc / 2^shift, rounded once, ties up (TFLite single rounding) */
    LB_ROUND_DYADIC = 3, /* likewise, ties to even (b / 2^c of HAWQ-V3) */
    LB_ROUND_POW2 = 4,   /* acc / 2^shift, ties up (CMSIS-NN); value is not read */
    LB_ROUND_STOCHASTIC = 5, /* float scale, up with the probability of the fraction (Philox) */
    LB_ROUND_THRESHOLD = 6   /* b1 only: acc >= value, or acc < value where shift is 1 */
} lb_rounding;

/* The real number value / 2^shift, shift 0 to 62. In device memory: two int32. */
typedef struct lb_multiplier {
    int32_t value;
    int32_t shift;
} lb_multiplier;

/*
 * The multiplier nearest to `real` for a rounding mode: 31 bits of `real` (QuantizeMultiplier of
 * TFLite; batch_frexp of HAWQ-V3), or for POW2 the shift. INVALID_ARGUMENT for NaN, infinities, a
 * size of 2^31 or more, and for POW2 what is no power of two from 2^-62 to 1.
 */
LB_API lb_status lb_multiplier_make(double real, int32_t rounding, lb_multiplier *multiplier);
/*
 * Folds batch normalisation and sign into thresholds for LB_ROUND_THRESHOLD:
 *     gamma[i] * (acc * scale[i] - mean[i]) / sqrt(variance[i] + epsilon) + beta[i] >= 0
 * as a comparison of the integer acc, for any sign of gamma, evaluated in double. Arrays of n;
 * scale NULL means 1. INVALID_ARGUMENT names the channel that holds a NaN, an infinity, a variance
 * + epsilon or a scale that is not positive; `thresholds` is then untouched.
 */
LB_API lb_status lb_thresholds_fold(const float *gamma, const float *beta, const float *mean,
                                    const float *variance, double epsilon, const float *scale,
                                    int64_t n, lb_multiplier *thresholds);

/* One operand. A zeroed struct but for `type` is a dense operand without scale or zero point. */
typedef struct lb_operand {
    int32_t type;   /* lb_type */
    int32_t layout; /* lb_layout_id */
    int64_t ld; /* elements from row to row (COLS: from k to k+1); 0 = dense, rounded up to whole
                   bytes */
    int64_t batch_stride; /* elements from batch to batch; 0 = dense */
    int32_t scale;        /* lb_granularity of the scale */
    int32_t scale_type;   /* lb_type of B's scales: f32, f16 or bf16; 0 = f32; per group also u8,
                             see below. All others are f32 */
    int32_t group;        /* elements of K per group, a multiple of 32; only with LB_PER_GROUP */
    int32_t zero;         /* lb_granularity of the zero point (int32): NONE, TENSOR or as `scale` */
} lb_operand;

/*
 * Scales of two levels (QServe, Y. Lin et al., 2024): B is s4, u4, s2, u2 or t2, A integer, B's
 * scale per group and its scale_type u8. Then B's values are scale * (code - zero point), where
 * `scale` is the group's, 0 to 255, and must all lie in -128 to 127: weights of 8 bits that are
 * stored in 4 or 2. Packing checks that (lb_weights_pack), for every code and, where K is no
 * multiple of 32, for code 0 in the last group as well. Each row of B has an f32 scale besides
 * (channel_scales), so that all of K is one integer sum: such products are exact, and have what
 * products with a scale per channel have.
 */

/*
 * Everything that decides what is computed; plain data. The epilogue is applied in this fixed
 * order, each step rounded to f32 (docs/numerics.md):
 *
 *   acc  exact integer sum (integer A), f32 sum (float A); with group scales that are not of two
 *        levels: f32 sum over groups
 *   + bias if s32;  * scale of B;  * scale of A;  + bias if float;  + residual * its scale;
 * activation; clamp;  * scale of D;  round (integer D);  + zero point of D;  saturate to D's type
 *
 * With an integer-only rounding (lb_rounding) neither A nor B has a scale, and it is
 *
 *   acc  + bias (s32, saturating);  + (residual - its zero point) * its multiplier;  ReLU;
 * * multiplier of D;  hard-swish;  + zero point of D;  clamp (of D's codes);  saturate to D's type
 *
 * An s32 D without any scale, with at most zero points, s32 bias and ReLU, stays in integers
 * throughout. A b1 D stores the sign: bit 1 where the value before rounding is >= 0. ReLU is x > 0
 * ? x : +0; clamp is x > min ? x : min, then x < max ? x : max; a NaN becomes 0 in integer outputs.
 */
typedef struct lb_problem {
    uint32_t struct_size;
    uint32_t flags; /* 0 */
    int64_t m;      /* tokens: rows of A and D */
    int64_t n;      /* output channels: rows of B, columns of D */
    int64_t k;      /* summation length */
    int64_t
        batch;    /* independent products, each with its own A, B, D, bias; 0 and 1 both mean one */
    lb_operand a; /* scale: NONE, TENSOR, TOKEN; zero: NONE, TENSOR, TOKEN */
    lb_operand b; /* scale: NONE, TENSOR, CHANNEL, GROUP */
    lb_operand d; /* scale: NONE, TENSOR, CHANNEL, TOKEN, a multiplier before rounding; zero: NONE,
                     TENSOR */
    lb_operand residual; /* type NONE = absent; else [M][N] of s32, s8, u8, s4, u4, f16, bf16 or
                            f32; scale: NONE, TENSOR, CHANNEL; zero: NONE, TENSOR */
    int32_t bias; /* lb_type: NONE, s32 (integer A, and group scales of two levels at most), f32,
                     f16, bf16; [batch][N] */
    int32_t activation; /* lb_activation */
    int32_t clamp;      /* 1: limit to [clamp_min, clamp_max] after the activation */
    float clamp_min;
    float clamp_max;
    int32_t rounding; /* lb_rounding; all but EVEN need an integer D */
    /* Hard-swish with an integer-only rounding: what 3.0 is in units of the multiplied sum (1 to
       2^24), and by how many bits those are finer than D's codes (0 to 24). Else 0. */
    int32_t act_three;
    int32_t act_shift;
    /* c4 and c2 weights: TENSOR (or 0), one table per batch; or as B's scale, which is then CHANNEL
       or GROUP: a table for each scale. Else 0. */
    int32_t b_table;
    int32_t reserved;
} lb_problem;

#define LB_PROBLEM_INIT LB_STRUCT_INIT(lb_problem)

/*
 * Parses a problem line (docs/qbench.md has the grammar), e.g.
 *   "s8.token*s4.g128.z->f16 m16 n4096 k4096 +bias +silu"
 * into *problem and validates it. INVALID_ARGUMENT names the word and its position.
 */
LB_API lb_status lb_problem_parse(const char *line, lb_problem *problem);
/*
 * Prints the canonical line: parse(print(p)) equals p. Writes at most `capacity` bytes with the
 * final 0; *needed (may be NULL) gets the bytes the whole line takes. INVALID_ARGUMENT if it did
 * not fit: then text holds its beginning and *needed is set all the same. Capacity 0 only counts.
 */
LB_API lb_status lb_problem_print(const lb_problem *problem, char *text, size_t capacity,
                                  size_t *needed);
/* All rules a problem must obey, in one place; the first one broken is the error text. */
LB_API lb_status lb_problem_check(const lb_problem *problem);

/* Bytes that each of the caller's arrays must have, with strides and batches; 0 where the array is
 * absent. */
typedef struct lb_sizes {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t a, a_scale, a_zero;
    uint64_t b, b_scale, b_zero;
    uint64_t d, d_scale, d_zero;
    uint64_t bias, residual, residual_scale;
    uint64_t residual_zero, random;
    uint64_t b_table;
    uint64_t d_sums; /* where lb_args asks for them; 0: this D has none */
    uint64_t b_channel_scale;
} lb_sizes;
#define LB_SIZES_INIT LB_STRUCT_INIT(lb_sizes)
LB_API lb_status lb_problem_sizes(const lb_problem *problem, lb_sizes *sizes);

/* 1 if every backend must give the same bits (integer A, group scales of two levels at most, no
 * SiLU or GELU), else 0: a bound. */
LB_API int lb_problem_is_exact(const lb_problem *problem);
/* Multiply-adds counted twice: 2 * batch * m * n * k. */
LB_API double lb_problem_ops(const lb_problem *problem);

/* ---- Devices and contexts -------------------------------------------------------------------- */

typedef struct lb_device_info {
    uint32_t struct_size;
    int32_t index;     /* within its backend */
    char backend[16];  /* "ref", "opencl", "cuda" */
    char selector[24]; /* what lb_context_desc.device takes, e.g. "opencl:0" */
    char name[128];
    char vendor[64];
    char driver[96];
    char features[256]; /* optional paths found, e.g. "x86-avx512-vnni", "nv-dp4a"; space separated
                         */
    int32_t is_gpu;
    int32_t compute_units;
    int32_t clock_mhz; /* 0 = unknown */
    int32_t reserved;
    uint64_t global_bytes;
    uint64_t local_bytes; /* per work-group */
    uint64_t cache_bytes; /* last level; 0 = unknown */
    double memory_rate;   /* bytes per second, as the driver tells; 0 = unknown */
} lb_device_info;
#define LB_DEVICE_INFO_INIT LB_STRUCT_INIT(lb_device_info)

/*
 * Fills up to `capacity` entries, best device first ("ref" last); *count gets how many there are.
 * Entries' struct_size must be set in infos[0]. Never fails for lack of drivers: "ref" is always
 * there.
 */
LB_API lb_status lb_devices(lb_device_info *infos, size_t capacity, size_t *count);
/* Why a backend ("opencl") offers no device: one sentence; "" if it offers some. Thread-local
 * storage. */
LB_API const char *lb_backend_note(const char *backend);

typedef struct lb_context lb_context;
/* A device pointer: base is a host pointer (ref), a cl_mem (opencl) or a CUdeviceptr (cuda). */
typedef struct lb_ptr {
    void *base;
    size_t offset; /* bytes */
} lb_ptr;
/* A queue: cl_command_queue or CUstream, the caller's or made below. NULL: the context's own
 * in-order queue. */
typedef void *lb_stream;

#define LB_MAX_HOST_THREADS 256

typedef struct lb_context_desc {
    uint32_t struct_size;
    uint32_t flags;
    const char *device;   /* selector: "auto", "ref", "opencl", "opencl:1", ...; NULL = "auto" */
    void *native_context; /* adopt this cl_context / CUcontext (retained); NULL: make one */
    void *native_device;  /* the cl_device_id / CUdevice + 1 that goes with it */
    const char
        *cache_dir; /* compiled kernels; NULL: $LOWBIT_CACHE_DIR, else $XDG_CACHE_HOME/lowbit, else
                       ~/.cache/lowbit; "" = no cache */
    const char *tuning;   /* a file of `qbench tune`, read besides what is built in; NULL:
                             lb_tuning_path(), if it is there; "" = none */
    int32_t host_threads; /* that packing stored weights may use, the calling one among them, up to
                             LB_MAX_HOST_THREADS; 0: that one alone */
} lb_context_desc;
#define LB_CONTEXT_DESC_INIT LB_STRUCT_INIT(lb_context_desc)

/* Opens a device. desc may be NULL. NO_DEVICE says what was looked for and what is there. */
LB_API lb_status lb_context_create(const lb_context_desc *desc, lb_context **context);
/* All plans, weights, buffers, streams and events of the context must be gone. NULL is allowed. */
LB_API void lb_context_destroy(lb_context *context);
LB_API lb_status lb_context_info(const lb_context *context, lb_device_info *info);

/* For callers without a framework. Memory is aligned to at least 256 bytes. */
LB_API lb_status lb_memory_alloc(lb_context *context, size_t bytes, lb_ptr *memory);
LB_API void lb_memory_free(lb_context *context, lb_ptr memory);
/* Both copies wait until they are done, and for what was enqueued on an in-order `stream` before.
 */
LB_API lb_status lb_memory_write(lb_context *context, lb_ptr to, const void *from, size_t bytes,
                                 lb_stream stream);
LB_API lb_status lb_memory_read(lb_context *context, void *to, lb_ptr from, size_t bytes,
                                lb_stream stream);

#define LB_STREAM_OUT_OF_ORDER 1u
LB_API lb_status lb_stream_create(lb_context *context, uint32_t flags, lb_stream *stream);
LB_API void lb_stream_destroy(lb_context *context, lb_stream stream);
/* Waits until all that was enqueued is done; reports faults of kernels that ran. */
LB_API lb_status lb_stream_sync(lb_context *context, lb_stream stream);

/* Points in a stream for device-side timing. */
typedef struct lb_event lb_event;
LB_API lb_status lb_event_create(lb_context *context, lb_event **event);
LB_API void lb_event_destroy(lb_event *event);
LB_API lb_status lb_event_record(lb_event *event, lb_stream stream);
/* Waits for both; seconds from start to end on the device's clock. */
LB_API lb_status lb_event_elapsed(lb_event *start, lb_event *end, double *seconds);

/* ---- Plans ----------------------------------------------------------------------------------- */

typedef struct lb_plan lb_plan;

#define LB_PLAN_BATCH_INVARIANT                                                                    \
    1u /* a row of D must not depend on m: excludes kernels that cannot promise it */
#define LB_PLAN_PROVEN_ONLY 2u /* exclude kernels never run on real hardware of their kind */

typedef struct lb_plan_desc {
    uint32_t struct_size;
    uint32_t flags;
    const char *kernel; /* force this kernel row; NULL = the cheapest that accepts */
    const char *layout; /* only rows that eat weights of this prepacked layout; NULL = any. To run
                           one lb_weights under several plans, pass lb_weights_layout() here */
    uint64_t workspace_limit; /* only rows that need at most this; 0 = no limit */
    const char *parameters;   /* of `kernel`: a set of lb_kernel_parameters; "" = the row's own;
                                 NULL = as tuned, else the row's own */
} lb_plan_desc;
#define LB_PLAN_DESC_INIT LB_STRUCT_INIT(lb_plan_desc)

typedef struct lb_plan_info {
    uint32_t struct_size;
    int32_t exact;         /* lb_problem_is_exact */
    int32_t deterministic; /* same inputs, same bits, every run */
    int32_t batch_invariant;
    int32_t proven;   /* the kernel has passed on real hardware of its kind */
    int32_t launches; /* kernels enqueued per run; with lb_args.d_sums one more */
    uint64_t workspace_bytes;
    uint64_t workspace_align; /* bytes */
    uint64_t weights_bytes;   /* of the packed blob */
    uint64_t weights_align;
    double predicted_seconds; /* the selection's cost; a rough model unless tuned */
    const char *kernel;       /* row name; lives as long as the library */
    const char *layout;       /* prepacked layout; likewise */
    const char *parameters;   /* "" = the row's own; lives as long as the plan */
    int32_t tuned;            /* chosen by the tuning database */
    int32_t reserved;
} lb_plan_info;
#define LB_PLAN_INFO_INIT LB_STRUCT_INIT(lb_plan_info)

/*
 * Validates, selects the cheapest accepting kernel row and builds it (which may compile, and so
 * take seconds the first time). desc may be NULL. UNSUPPORTED: no row accepts; the text gives the
 * nearest reason, lb_explain all of them.
 */
LB_API lb_status lb_plan_create(lb_context *context, const lb_problem *problem,
                                const lb_plan_desc *desc, lb_plan **plan);
LB_API void lb_plan_destroy(lb_plan *plan);
LB_API lb_status lb_plan_get_info(const lb_plan *plan, lb_plan_info *info);

/* What a plan would be, without making it. */
typedef struct lb_prediction {
    uint32_t struct_size;
    int32_t status;   /* lb_status: OK, or why there is none; the fields below are then 0 */
    int32_t measured; /* 1: seconds come from the tuning database; 0: from the row's model */
    int32_t exact;    /* lb_problem_is_exact */
    double seconds;   /* per run */
    uint64_t weights_bytes, workspace_bytes;
    uint64_t moved_bytes; /* A, weights and D, each once: what a run must move at least */
    const char *kernel;   /* live as long as the library */
    const char *layout;
} lb_prediction;
#define LB_PREDICTION_INIT LB_STRUCT_INIT(lb_prediction)

/*
 * For each of `count` problems (the same product in candidate formats, say) what a plan on this
 * context would cost: the selection of lb_plan_create without building anything, so it is cheap
 * enough for a search over layers and formats. predictions[0].struct_size must be set. A problem
 * that is malformed or that no row accepts does not fail the call; its status says so.
 */
LB_API lb_status lb_predict(lb_context *context, const lb_problem *problems, size_t count,
                            lb_prediction *predictions);

/* ---- Weights --------------------------------------------------------------------------------- */

/* Canonical weights in host memory, as problem.b describes them. */
typedef struct lb_weights_source {
    uint32_t struct_size;
    uint32_t reserved;
    const void *codes;  /* [batch] of [N][K] or [K][N] */
    const void *scales; /* b.scale_type, [batch][1 | N | N][groups]; NULL if b.scale is NONE */
    const int32_t
        *zeros; /* [batch][1 | N | N][groups]; NULL if b.zero is NONE; each within b.type's range */
    const float *tables;         /* c4, c2: [batch][1 | N | N][groups][16 | 4]; all finite */
    const float *channel_scales; /* [batch][N]; scales of two levels (b.scale_type u8) alone */
} lb_weights_source;

typedef struct lb_weights lb_weights;

/*
 * Packs canonical weights into the layout of the plan's kernel: codes, scales, zero points and sums
 * in one self-describing, position-independent blob (plan info's weights_bytes) with version and
 * checksum, which is also the serialised form. Pure host work, no device touched. INVALID_ARGUMENT
 * names the first zero point, table entry, ternary code or value of two levels that is not allowed;
 * nothing is written then.
 */
LB_API lb_status lb_weights_pack(const lb_plan *plan, const lb_weights_source *source, void *blob,
                                 size_t bytes);
/*
 * Verifies a blob against the plan and uploads it. memory NULL: the library allocates device
 * memory; else *memory must hold weights_bytes at weights_align and outlive the weights. The blob
 * is not kept. BAD_DATA names the field that is wrong.
 */
LB_API lb_status lb_weights_load(const lb_plan *plan, const void *blob, size_t bytes,
                                 const lb_ptr *memory, lb_weights **weights);
/* lb_weights_pack into a temporary blob, then lb_weights_load. */
LB_API lb_status lb_weights_create(const lb_plan *plan, const lb_weights_source *source,
                                   lb_weights **weights);
LB_API void lb_weights_destroy(lb_weights *weights);
/* Name of the prepacked layout; lives as long as the library. */
LB_API const char *lb_weights_layout(const lb_weights *weights);

/* ---- Run ------------------------------------------------------------------------------------- */

/*
 * The weights were not written by the work right before this run on its stream: they were there
 * when that began. Devices that can (CUDA, from Hopper on and a driver of CUDA 12.3) then begin the
 * run while that work is still being done; what they read ahead is the weights alone, and whatever
 * else the run reads or writes waits until the work is complete. Results are the same. Devices and
 * kernels that cannot ignore it.
 */
#define LB_RUN_OVERLAP 1u

/* Device pointers; those the problem does not ask for are ignored. Scales and zero points are
 * dense. */
typedef struct lb_args {
    uint32_t struct_size;
    uint32_t flags; /* LB_RUN_* */
    int64_t m;      /* rows of this call, at most problem.m (batch 1 only); 0 = problem.m */
    const lb_weights *weights;
    lb_ptr a, a_scale, a_zero;             /* f32 [batch][1|M], int32 [batch][1|M] */
    lb_ptr d, d_scale, d_zero;             /* f32 or lb_multiplier [1|N|M], int32 [1] */
    lb_ptr bias, residual, residual_scale; /* [batch][N], [batch][M][N], as d_scale [1|N] */
    lb_ptr workspace;
    size_t workspace_bytes; /* at least the plan's */
    lb_ptr residual_zero;   /* int32 [1] */
    /* Stochastic rounding: uint64 seed, uint64 offset, read when the run executes, so that a
       captured run may be replayed with other values. The random number of an element depends on
       nothing but these two and the element's place. */
    lb_ptr random;
    /* int32 [batch][M], or base NULL: not wanted. The sum of each row of D as it was written, of
       the values of its codes (b1: +1 and -1), for the zero points of the next layer's weights. D
       is s8, u8, s4, u4, s2, u2, t2 or b1, and N at most 2^31 - 1 over its type's largest size
       (u8: 8421504). Must not overlap D or an input. A pass of its own makes it, behind D's on the
       same stream: should the driver refuse to enqueue that one, lb_run fails and D is undefined.
       Where D has no elements nothing is written here either. */
    lb_ptr d_sums;
} lb_args;
#define LB_ARGS_INIT LB_STRUCT_INIT(lb_args)

#define LB_MAX_CONCURRENT_RUNS 32

/*
 * Enqueues the product on `stream`. D must not overlap an input, except that it may be the residual
 * itself when both have the same type and strides. The workspace belongs to this call until it is
 * done on the device. Padding bits in the last byte of a row of a sub-byte D are written as 0;
 * nothing else outside [M][N] is touched.
 */
LB_API lb_status lb_run(const lb_plan *plan, const lb_args *args, lb_stream stream);
/*
 * The same with arrays in host memory: base + offset of every lb_ptr is a host address. Uses them
 * in place where the device can (ref; OpenCL on CPUs), copies them elsewhere. Returns when D and
 * the sums asked for are there. Allocates; the workspace, if given, is the device's as for lb_run,
 * if NULL made for the call. For callers whose tensors are not the device's: bindings, tests. Safe
 * in any number of threads.
 */
LB_API lb_status lb_run_host(const lb_plan *plan, const lb_args *args, lb_stream stream);

/* ---- Introspection --------------------------------------------------------------------------- */

typedef struct lb_kernel_info {
    uint32_t struct_size;
    int32_t proven;
    const char *name;
    const char *layout;
    const char *summary; /* one line: method and tile */
    char a_types[64], b_types[64], d_types[96];
} lb_kernel_info;
#define LB_KERNEL_INFO_INIT LB_STRUCT_INIT(lb_kernel_info)

/* The context's kernel rows in table order. Returns INVALID_ARGUMENT past the end. */
LB_API lb_status lb_kernel_get_info(const lb_context *context, size_t index, lb_kernel_info *info);
LB_API size_t lb_kernel_count(const lb_context *context);

/* Set `index` of the parameters (tile sizes) that a kernel row can be compiled with, e.g. "mr4 nv4
 * mb16 nt128", the row's own first; at most 64 bytes with the final 0. INVALID_ARGUMENT past the
 * end, and where a row has none. */
LB_API lb_status lb_kernel_parameters(const lb_context *context, size_t kernel, size_t index,
                                      char *text, size_t capacity);
/* The user's tuning file: $LOWBIT_TUNING, else $XDG_CONFIG_HOME/lowbit/tuning, else
 * ~/.config/lowbit/tuning; "" = none. Thread-local storage. */
LB_API const char *lb_tuning_path(void);

/*
 * Text, one line per kernel row: the chosen one first, then each accepted one with its predicted
 * cost, then each refused one with its reason. LB_OK also where no row accepts. `needed` as in
 * lb_problem_print.
 */
LB_API lb_status lb_explain(lb_context *context, const lb_problem *problem,
                            const lb_plan_desc *desc, char *text, size_t capacity, size_t *needed);

/* What the device does at best, measured by small kernels of ours in about a second; 0 = not
 * measured. */
typedef struct lb_ceilings {
    uint32_t struct_size;
    uint32_t reserved;
    double read_bytes; /* bytes/s, large sequential read */
    double copy_bytes; /* bytes/s read + written */
    double ops_f32;    /* multiply-adds x 2 per second */
    double ops_s8;     /* with the best integer dot product path found */
    double ops_b1;     /* xor + popcount */
    double ops_f16;    /* f16 products, f32 sums; 0 = no path of its own: ops_f32 */
    double ops_bf16;   /* bf16 products, f32 sums; likewise */
} lb_ceilings;
#define LB_CEILINGS_INIT LB_STRUCT_INIT(lb_ceilings)
LB_API lb_status lb_measure_ceilings(lb_context *context, lb_ceilings *ceilings);

/* ---- Verification ---------------------------------------------------------------------------- */

/* The same arrays as lb_args and lb_weights_source, in host memory. */
typedef struct lb_host_args {
    uint32_t struct_size;
    uint32_t reserved;
    const void *a;
    const float *a_scale;
    const int32_t *a_zero;
    const void *b; /* canonical codes */
    const void *b_scale;
    const int32_t *b_zero;
    const void *d_scale; /* float or lb_multiplier */
    const int32_t *d_zero;
    const void *bias;
    const void *residual;
    const void *residual_scale; /* as d_scale */
    const int32_t *residual_zero;
    const uint64_t *random; /* seed, offset */
    const float *b_table;
    const float *b_channel_scale;
} lb_host_args;
#define LB_HOST_ARGS_INIT LB_STRUCT_INIT(lb_host_args)

typedef struct lb_verify_report {
    uint32_t struct_size;
    int32_t exact;       /* compared bit for bit (1) or against the derived bound (0) */
    uint64_t checked;    /* elements compared */
    uint64_t wrong;      /* elements outside */
    int64_t batch, m, n; /* the first wrong one */
    double expected, got;
    double worst; /* f32 D: the largest share of the bound that a right element used */
} lb_verify_report;
#define LB_VERIFY_REPORT_INIT LB_STRUCT_INIT(lb_verify_report)

/*
 * Compares D (host copy) with the reference: `rows` rows of D spread over the matrix and chosen by
 * `seed`, or every element if rows <= 0. For large exact problems with an s32 D, every element is
 * besides covered by Freivalds' test (R. Freivalds, 1977) when `freivalds` != 0. LB_OK says that it
 * could be checked; see report->wrong for the outcome. Allocates; synchronous; host only.
 */
LB_API lb_status lb_verify(const lb_problem *problem, const lb_host_args *args, const void *d,
                           int64_t rows, uint64_t seed, int freivalds, lb_verify_report *report);

/* ---- Quantising ------------------------------------------------------------------------------ */

/*
 * From real numbers to codes and back, on the host:
 *
 *     q = saturate(rint(x / scale) + zero),    x ~ (q - zero) * scale
 *
 * x / scale is one f32 division and ties go to even (ONNX QuantizeLinear); NaN counts as 0. A b1
 * code is the sign: bit 1 where x >= 0.
 */
typedef enum lb_quant_scheme {
    LB_QUANT_SYMMETRIC = 0, /* -max to max (s8: -127 to 127); unsigned types: about (max + 1) / 2 */
    LB_QUANT_FULL = 1,      /* all codes, scale |x| / (max + 1/2) (s8: 127.5) */
    LB_QUANT_ASYMMETRIC = 2 /* all codes, from min(x, 0) to max(x, 0); not t2, b1 */
} lb_quant_scheme;

/* How a range is chosen for data. */
typedef enum lb_calibrator {
    LB_CALIBRATE_MINMAX = 0,
    LB_CALIBRATE_PERCENTILE = 1, /* clips what is beyond the percentile */
    LB_CALIBRATE_MSE = 2,        /* the range of least squared error among 100 shares of min-max */
    LB_CALIBRATE_ENTROPY = 3     /* the clipping of least Kullback-Leibler divergence */
} lb_calibrator;

/* One more granularity, for quantising alone: one value per column (channels of activations). */
#define LB_PER_COLUMN 5

/* A matrix of real numbers, [rows][cols], and how it is to be quantised. */
typedef struct lb_quant {
    uint32_t struct_size;
    int32_t type;        /* of the codes: s8, u8, s4, u4, s2, u2, t2, b1 */
    int32_t x_type;      /* f32 (or 0), f16, bf16 */
    int32_t scheme;      /* lb_quant_scheme */
    int32_t calibrator;  /* lb_calibrator */
    int32_t granularity; /* PER_TENSOR, PER_TOKEN or PER_CHANNEL (both: per row; tokens of A,
                            channels of B), PER_GROUP (per row and `group` columns), PER_COLUMN */
    int64_t rows, cols;
    int64_t group;     /* columns; only with PER_GROUP, any size */
    double percentile; /* 50 to 100; 0 = 99.99 */
    /* An RMSNorm before quantising, on the device alone (lb_quantizer). */
    int32_t norm_type;  /* of its weight: f32, f16, bf16; 0 = none */
    float norm_epsilon; /* 1e-12 to 1 */
} lb_quant;
#define LB_QUANT_INIT LB_STRUCT_INIT(lb_quant)

/* Values that the scales and the zero points have: 1, rows, rows * groups or cols. */
LB_API lb_status lb_quant_count(const lb_quant *quant, int64_t *count);
/* Bytes of the codes: rows start on a byte. */
LB_API lb_status lb_quant_bytes(const lb_quant *quant, uint64_t *bytes);
/*
 * The scale and zero point of a range. A range of less than 2^-100 gives scale 1, ends beyond 2^120
 * count as 2^120: the scale is always finite and positive. BAD_DATA if an end is no number.
 */
LB_API lb_status lb_quantize_range(int32_t type, int32_t scheme, float least, float most,
                                   float *scale, int32_t *zero);
/*
 * Scales and zero points for x by the calibrator, which sees x itself (MINMAX, MSE) or its
 * histogram (as an observer). zeros may be NULL unless the scheme needs it. BAD_DATA names the
 * first NaN or infinity, or says that there are no values; nothing is written then.
 */
LB_API lb_status lb_quantize_calibrate(const lb_quant *quant, const void *x, float *scales,
                                       int32_t *zeros);
/* Codes of x for any positive scales. zeros NULL: 0. */
LB_API lb_status lb_quantize(const lb_quant *quant, const void *x, const float *scales,
                             const int32_t *zeros, void *codes);
/* (q - zero) * scale, one f32 multiplication. */
LB_API lb_status lb_dequantize(const lb_quant *quant, const void *codes, const float *scales,
                               const int32_t *zeros, float *x);

/*
 * An observer sees data in pieces, as calibration runs produce them, and keeps 4096 counts. What it
 * finds depends on the values alone, not on their order or the pieces. Not for several threads.
 */
typedef struct lb_observer lb_observer;
LB_API lb_status lb_observer_create(lb_observer **observer);
LB_API void lb_observer_destroy(lb_observer *observer);
/* BAD_DATA names the first NaN or infinity; the observer is then as before the call. */
LB_API lb_status lb_observer_add(lb_observer *observer, int32_t x_type, const void *x,
                                 uint64_t count);
/* From quant: type, scheme, calibrator, percentile. BAD_DATA: no values, or all the same. */
LB_API lb_status lb_observer_range(const lb_observer *observer, const lb_quant *quant, float *least,
                                   float *most);
/* lb_observer_range, then lb_quantize_range. */
LB_API lb_status lb_observer_scale(const lb_observer *observer, const lb_quant *quant, float *scale,
                                   int32_t *zero);

/*
 * Quantising on the device, per row, with scales that are made on the way: one pass over
 * activations before an integer product. x is [rows][cols] of f32, f16 or bf16; codes are rows of
 * whole bytes (an lb_args.a with ld 0), scales and zeros what lb_args takes per token. Of quant,
 * granularity is TOKEN and the calibrator MINMAX; rows is the most per call. Integer types get the
 * scale of the largest size (or the range), t2 and b1 that of the mean size (BitNet, XNOR-Net).
 * Infinities count as 2^120, NaN as 0. With quant.norm_type what is quantised is the row's RMSNorm,
 * x / sqrt(mean(x^2) + norm_epsilon) * norm_weight. Every device gives the same bits
 * (docs/numerics.md).
 */
typedef struct lb_quantizer lb_quantizer;
typedef struct lb_quantizer_args {
    uint32_t struct_size;
    uint32_t flags; /* 0 */
    int64_t rows;   /* of this call; 0 = quant.rows */
    int64_t x_ld;   /* elements from row to row of x; 0 = cols */
    lb_ptr x, codes;
    lb_ptr scales; /* f32 [rows] */
    lb_ptr zeros;  /* s32 [rows]; base NULL where all are 0: symmetric schemes of signed types */
    lb_ptr sums;   /* s32 [rows], sums of a row's codes; base NULL: not wanted */
    lb_ptr norm_weight; /* [cols] of quant.norm_type */
} lb_quantizer_args;
#define LB_QUANTIZER_ARGS_INIT LB_STRUCT_INIT(lb_quantizer_args)

/* UNSUPPORTED where the device has no such kernel. Immutable, as a plan; may be shared by threads.
 */
LB_API lb_status lb_quantizer_create(lb_context *context, const lb_quant *quant,
                                     lb_quantizer **quantizer);
LB_API void lb_quantizer_destroy(lb_quantizer *quantizer);
/* Enqueues, as lb_run. */
LB_API lb_status lb_quantizer_run(const lb_quantizer *quantizer, const lb_quantizer_args *args,
                                  lb_stream stream);

/* Weights by the methods that have names. x is f32; a unit is what one scale is for. */
typedef enum lb_weight_method {
    LB_WEIGHTS_NEAREST = 0, /* lb_quantize_calibrate, lb_quantize; any type */
    LB_WEIGHTS_TWN = 1,     /* t2: beyond 0.7 mean|w| (F. Li et al., 2016), scale their mean */
    LB_WEIGHTS_ABSMEAN = 2, /* t2: rint(w / mean|w|) (BitNet b1.58, S. Ma et al., 2024) */
    LB_WEIGHTS_XNOR = 3     /* b1: sign, scale mean|w| (M. Rastegari et al., 2016) */
} lb_weight_method;
LB_API lb_status lb_quantize_weights(const lb_quant *quant, int32_t method, const float *w,
                                     void *codes, float *scales, int32_t *zeros);
/*
 * Scales of two levels (lb_operand): granularity PER_GROUP, of a multiple of 32, types s4, u4, s2,
 * u2 and t2. The groups' scales and zero points are first what lb_quantize_calibrate makes; the
 * row's scale is the least with which no code's value can leave 8 bits, and a group's scale the
 * better one, by squared error, of the two whole ones around. scales and zeros [rows][groups],
 * channel_scales [rows]. zeros may be NULL where all are 0.
 */
LB_API lb_status lb_quantize_two_levels(const lb_quant *quant, const float *w, void *codes,
                                        uint8_t *scales, float *channel_scales, int32_t *zeros);
/*
 * Two scales per unit (TTQ, C. Zhu et al., 2017): t2 codes beyond 0.05 max|w|, and for each unit a
 * table of 4 by code, {0, positive, 0, -negative}, both the mean size on their side.
 */
LB_API lb_status lb_quantize_two_scales(const lb_quant *quant, const float *w, void *codes,
                                        float *tables);
/*
 * Several binary bases (ABC-Net, X. Lin et al., 2017): w ~ sum_i scale_i * base_i, base_i the sign
 * of w - mean + u_i * deviation with u_i from -1 to 1, scales by least squares. `bases` (1 to 8)
 * matrices of b1 codes one after the other; scales [bases][units].
 */
LB_API lb_status lb_quantize_bases(const lb_quant *quant, int32_t bases, const float *w,
                                   void *codes, float *scales);

/*
 * Codebooks: a table of `entries` (2 to 256, a power of two) vectors of `dim` (1, 2 or 4) values,
 * and for each vector of data the code of the nearest (the lower one of two equally near).
 */
/* table[16]: the quantiles of a normal distribution of QLoRA (T. Dettmers et al., 2023), from -1
 * to 1. */
LB_API void lb_codebook_nf4(float *table);
/* Fits a table to `count` vectors: k-means from a splitting start (Y. Linde, A. Buzo, R. Gray,
 * 1980); the same data give the same table. Tables of dim 1 are ascending. BAD_DATA: none, NaN,
 * infinity. */
LB_API lb_status lb_codebook_fit(const float *x, int64_t count, int32_t dim, int32_t entries,
                                 float *table);
/* Codes of 1, 2, 4 or 8 bits (the least that holds entries - 1), packed low bits first, no gaps. */
LB_API lb_status lb_codebook_assign(const float *x, int64_t count, int32_t dim, const float *table,
                                    int32_t entries, void *codes);
LB_API lb_status lb_codebook_values(const void *codes, int64_t count, int32_t dim,
                                    const float *table, int32_t entries, float *x);

/* ---- Formats --------------------------------------------------------------------------------- */

/*
 * How checkpoints store a quantised weight matrix W, [N][K]: GPTQ, AWQ, compressed-tensors, Marlin,
 * bitsandbytes, MatMulNBits, GGUF, BitNet, Larq (docs/formats.md has the table, lb_format_get_info
 * lists it). All of them are read into and written from one canonical form, to the bit.
 */
typedef enum lb_part_id {
    LB_PART_CODES = 0,         /* of GGUF formats: the blocks, scales included */
    LB_PART_SCALES = 1,        /* f32, f16, bf16; u8 or s8 where they are factors */
    LB_PART_ZEROS = 2,         /* zero points, packed as the format packs them */
    LB_PART_OFFSETS = 3,       /* what is subtracted from scale * code */
    LB_PART_SUPER = 4,         /* scales of the scales */
    LB_PART_SUPER_OFFSETS = 5, /* of the offsets */
    LB_PART_ORDER = 6,         /* int32 [K]: the group of each k ("g_idx") */
    LB_PART_TABLE = 7,         /* f32: the value of each code */
    LB_PART_SCALE_TABLE = 8,   /* f32 [256]: the value of each scale */
    LB_PART_COUNT = 9
} lb_part_id;

typedef struct lb_part {
    void *data;     /* only read where the matrix is a source */
    uint64_t bytes; /* more than needed is allowed */
    int32_t type;   /* lb_type of SCALES and OFFSETS, where the format leaves a choice; else 0 */
    int32_t reserved;
} lb_part;

/* One matrix in the caller's (or a mapped file's) memory, aligned to 4 bytes or more. */
typedef struct lb_stored {
    uint32_t struct_size;
    int32_t bits;       /* of a code, where the format leaves a choice; else 0 */
    const char *format; /* "gptq", "q4_k", ... */
    int64_t n, k;
    int64_t group;   /* k per scale: 0 = one per row, -1 = one for all; fixed formats: 0 */
    int32_t levels;  /* "canon" only: codes are below this; 0 = 2^bits */
    int32_t zero;    /* "canon" only: the zero point where ZEROS is absent */
    int32_t super;   /* "canon" only: groups per super-block; 0 = scales are not factored */
    int32_t divisor; /* "canon" only: of every scale; 0 = 1 */
    lb_part part[LB_PART_COUNT];
} lb_stored;
#define LB_STORED_INIT LB_STRUCT_INIT(lb_stored)

typedef struct lb_format_info {
    uint32_t struct_size;
    int32_t bits;     /* 0: several */
    int64_t group;    /* 0: any */
    int32_t writable; /* 0: can only be read */
    int32_t reserved;
    const char *name;   /* these live as long as the library */
    const char *origin; /* who writes it */
    const char *params; /* where scales and zero points lie */
    const char *text;   /* what is special about it */
} lb_format_info;
#define LB_FORMAT_INFO_INIT LB_STRUCT_INIT(lb_format_info)
LB_API size_t lb_format_count(void);
/* INVALID_ARGUMENT past the end. */
LB_API lb_status lb_format_get_info(size_t index, lb_format_info *info);

/* Bytes that each part must have: part[].bytes, from the other fields (data is not looked at). */
LB_API lb_status lb_stored_sizes(lb_stored *stored);
/* Rows first .. first + count as f32, [count][K], rounded as the format's own readers round. */
LB_API lb_status lb_stored_values(const lb_stored *stored, int64_t first, int64_t count,
                                  float *values);
/*
 * Completes *to, of which only `format` must be set, to the description nearest to *from that can
 * hold it: bits, group, types and sizes of the parts; parts that are not needed get 0 bytes. The
 * caller then sets data. UNSUPPORTED says what the format cannot hold; with `lossy` != 0 only what
 * no rounding could change counts.
 */
LB_API lb_status lb_stored_like(const lb_stored *from, int lossy, lb_stored *to);

typedef struct lb_repack_report {
    uint32_t struct_size;
    int32_t exact;     /* every value is the same */
    double worst;      /* largest difference of a value */
    double rms, scale; /* root mean square of the differences, and of the values */
} lb_repack_report;
#define LB_REPACK_REPORT_INIT LB_STRUCT_INIT(lb_repack_report)
/*
 * Writes *from's matrix into *to's memory. UNSUPPORTED if *to cannot hold a value exactly; the text
 * says which and why, and *to's memory is then undefined. With `lossy` != 0 such rows are rounded
 * to the nearest code of a new scale instead, and the report (may be NULL) says by how much.
 */
LB_API lb_status lb_repack(const lb_stored *from, const lb_stored *to, int lossy,
                           lb_repack_report *report);

/*
 * A stored matrix is the sum of one or more *terms*, each of which is the B of a problem:
 * W = B_0 + B_1 + ... One suffices where a scale spans a multiple of 32 of k and zero points are
 * integers. Groups of 16 take two, real offsets (Q4_K's minima) as many again. So D = A W^T takes
 * one lb_run per term, every one after the first with the f32 D before as residual. UNSUPPORTED:
 * tables without integers, dense floats.
 */
LB_API lb_status lb_stored_terms(const lb_stored *stored, int32_t *count);
/* Sets problem->n, k and b; all else stays as it is. */
LB_API lb_status lb_stored_problem(const lb_stored *stored, int32_t term, lb_problem *problem);
/* perm[K]: the column of A that column k of B goes with; the identity without ORDER. */
LB_API lb_status lb_stored_order(const lb_stored *stored, int32_t *perm);
/*
 * lb_weights_create for a term of a stored matrix; the plan must be for the B that
 * lb_stored_problem gave. Needs host memory for one canonical copy.
 */
LB_API lb_status lb_weights_create_stored(const lb_plan *plan, const lb_stored *stored,
                                          int32_t term, lb_weights **weights);
/* lb_weights_pack likewise. */
LB_API lb_status lb_weights_pack_stored(const lb_plan *plan, const lb_stored *stored, int32_t term,
                                        void *blob, size_t bytes);
/*
 * Scales and zero points of a term in f32 and s32, as lb_weights_source has them for the problem
 * that lb_stored_problem gave: [1 | N | N][groups]. zeros is not touched where b.zero is NONE.
 * BAD_DATA names row and group.
 */
LB_API lb_status lb_stored_params(const lb_stored *stored, int32_t term, float *scales,
                                  int32_t *zeros);

/* ---- Packing on the device ------------------------------------------------------------------- */

/*
 * Packs weights whose codes are in device memory already: a framework's tensors, or a file's bytes
 * as they lie. What comes out is what lb_weights_pack makes, to the bit, but for the checksum,
 * which is 0 (lb_weights_pack makes blobs for files).
 */
typedef struct lb_packer lb_packer;
typedef struct lb_packer_args {
    uint32_t struct_size;
    uint32_t flags;            /* 0 */
    const lb_weights *weights; /* written: of lb_weights_reserve, for the packer's plan */
    lb_ptr codes;              /* as lb_weights_source; of a stored matrix its LB_PART_CODES */
    lb_ptr scales; /* as lb_weights_source; of a stored matrix f32, as lb_stored_params */
    lb_ptr zeros;  /* likewise */
    lb_ptr tables; /* as lb_weights_source */
    /* uint32 [1], or base NULL: 0, or 1 + the last row of B where something is not allowed (a code
       that the type does not have, a zero point beyond its range, an entry of a table that is not
       finite, a value of two levels beyond 8 bits): such weights must not be used. */
    lb_ptr fault;
    lb_ptr channel_scales; /* as lb_weights_source */
} lb_packer_args;
#define LB_PACKER_ARGS_INIT LB_STRUCT_INIT(lb_packer_args)

/*
 * For weights of a plan. stored NULL: canonical codes, as problem.b says. Else how they are stored,
 * for `term` of the matrix; of the parts only ORDER and TABLE, in host memory, are read. Needs
 * device memory of 16 bytes for each row and column (24 where codes lie in two places). UNSUPPORTED
 * where the device has no such kernel, and for codes that lie in more than two places or straddle
 * rows; lb_weights_pack_stored takes them. Immutable, as a plan; may be shared by threads; the plan
 * may go before it.
 */
LB_API lb_status lb_packer_create(const lb_plan *plan, const lb_stored *stored, int32_t term,
                                  lb_packer **packer);
LB_API void lb_packer_destroy(lb_packer *packer);
/* Enqueues, as lb_run: runs that come later on the stream find the weights packed. They must not
 * lie over what is read. The run right behind must not have LB_RUN_OVERLAP, which would fetch them
 * too early. */
LB_API lb_status lb_packer_run(const lb_packer *packer, const lb_packer_args *args,
                               lb_stream stream);
/* Weights without content, for lb_packer_run. memory as for lb_weights_load. */
LB_API lb_status lb_weights_reserve(const lb_plan *plan, const lb_ptr *memory,
                                    lb_weights **weights);
/*
 * lb_weights_create_stored by a packer: copies the codes to the device as they are stored, packs
 * them there and waits. BAD_DATA names a row that has a code which the format does not have.
 */
LB_API lb_status lb_weights_upload_stored(const lb_plan *plan, const lb_stored *stored,
                                          int32_t term, lb_weights **weights);

/* ---- Files ----------------------------------------------------------------------------------- */

/* A GGUF, safetensors or .lbw file, mapped and only read. Immutable: threads may share it. */
typedef struct lb_file lb_file;

typedef struct lb_tensor_info {
    uint32_t struct_size;
    int32_t rank;
    const char *name;   /* these live as long as the file is open */
    const char *type;   /* as the file calls it: "Q4_K", "I32" */
    const char *format; /* the format that reads the tensor by itself; NULL = none */
    const void *data;
    int64_t shape[4]; /* outermost first: [N][K] */
    uint64_t offset;  /* in the file, bytes */
    uint64_t bytes;
} lb_tensor_info;
#define LB_TENSOR_INFO_INIT LB_STRUCT_INIT(lb_tensor_info)

/* INVALID_ARGUMENT: no such file. BAD_DATA names tensor, field and offset. */
LB_API lb_status lb_file_open(const char *path, lb_file **file);
/* Everything found in it becomes invalid. NULL is allowed. */
LB_API void lb_file_close(lb_file *file);
/* "gguf", "safetensors" or "lbw". */
LB_API const char *lb_file_kind(const lb_file *file);
LB_API size_t lb_file_count(const lb_file *file);
LB_API lb_status lb_file_get_tensor(const lb_file *file, size_t index, lb_tensor_info *info);
/*
 * The matrix of this name: a tensor's whole name, or what comes before ".weight", ".qweight",
 * ".weight_packed" where several tensors make one matrix. `format` NULL: as the file says; else one
 * that the file cannot tell from another ("gptq_v2", "i2_s_arm", "hf_bitnet_div"). Outer dimensions
 * count as N. *stored points into the file; sizes and order are checked.
 */
LB_API lb_status lb_file_find(const lb_file *file, const char *name, const char *format,
                              lb_stored *stored);

/*
 * The name of matrix `index`, for lb_file_find: every tensor of GGUF and .lbw files; of safetensors
 * files one per layer, however many tensors make it, and every tensor that belongs to none.
 * INVALID_ARGUMENT past the end. The name lives as long as the file is open.
 */
LB_API lb_status lb_file_get_matrix(const lb_file *file, size_t index, const char **name);
/*
 * Weights that an .lbw file holds ready for kernels of this layout (lb_plan_info.layout), in the
 * mapping, for lb_weights_load. UNSUPPORTED: it has none.
 */
LB_API lb_status lb_file_find_packed(const lb_file *file, const char *name, int32_t term,
                                     const char *layout, const void **blob, size_t *bytes);

/* What to write. */
typedef struct lb_file_item {
    uint32_t struct_size;
    int32_t lossy; /* as of lb_repack */
    const char *name;
    const lb_stored *from;
    const char *format;          /* NULL: the canonical form; of floats: as they are */
    const lb_plan *const *plans; /* [plan_count], of terms 0, 1, ...: weights packed for them too */
    int32_t plan_count;
    int32_t reserved;
    lb_repack_report report; /* written */
} lb_file_item;
#define LB_FILE_ITEM_INIT LB_STRUCT_INIT(lb_file_item)
/* Called before each tensor and at the end; bytes written. Not 0 stops. */
typedef int lb_progress_fn(void *user, uint64_t done, uint64_t total, const char *name);
/*
 * Writes an .lbw file (docs/formats.md): versioned, checksummed, read in place. The file appears
 * when it is complete and on the disk; after a failure there is none, or the one before.
 * UNSUPPORTED names the tensor that its format cannot hold. progress may be NULL.
 */
LB_API lb_status lb_file_write(const char *path, lb_file_item *items, size_t count,
                               lb_progress_fn *progress, void *user);

/*
 * Threads. Contexts, plans and weights are immutable once created and may be shared by any number
 * of threads; at most LB_MAX_CONCURRENT_RUNS of them may be inside lb_run of one plan at the same
 * time. One stream and one workspace belong to one call at a time. Destroy an object only when no
 * thread uses it and the device has finished with it. The only global state is the thread-local
 * text of lb_last_error.
 *
 * ABI. Names and values here are stable within one MINOR version while MAJOR is 0, within one MAJOR
 * after.
 */

#ifdef __cplusplus
}
#endif
#endif
