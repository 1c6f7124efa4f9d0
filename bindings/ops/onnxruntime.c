/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ONNX Runtime: the custom op lowbit.Gemm.
 *
 *   attribute  problem   a problem line, e.g. "s8.token*s4.g32->f32 m16 n64 k128 +bias"
 *   attribute  device    where (default "auto"); on the CUDA provider always "cuda"
 *   inputs     A, B, B_scale, B_zero, A_scale, A_zero, bias, residual, residual_scale,
 *              residual_zero, D_scale, D_zero, B_table, B_channel_scale; those that the problem
 *              lacks are "" or left out
 *   output     D, [..., N]
 *
 * B, its scales, zero points and tables must be constants; they are packed when the session is
 * made. Elements narrower than a byte lie packed in uint8 tensors.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linear.h"
#include "ort_abi.h"

enum { LINE_LENGTH = 512, RANK = 8 };

/* What the op's input i is, if it is passed at a call. */
static const int order[] = {
    LB_INPUT_A,
    -1,
    -1,
    -1,
    LB_INPUT_A_SCALE,
    LB_INPUT_A_ZERO,
    LB_INPUT_BIAS,
    LB_INPUT_RESIDUAL,
    LB_INPUT_RESIDUAL_SCALE,
    LB_INPUT_RESIDUAL_ZERO,
    LB_INPUT_D_SCALE,
    LB_INPUT_D_ZERO,
    -1,
    -1,
};
/* Which of the op's inputs the weights are. */
static const size_t constant_at[LB_WEIGHT_COUNT] = {1, 2, 3, 12, 13};
enum { INPUTS = sizeof order / sizeof *order };

typedef struct kernel {
    lb_linear *linear;
    int cuda;
} kernel;

/* ---- The runtime's functions ----------------------------------------------------------------- */

typedef void (*any_function)(void);
static _Atomic(const any_function *) table; /* OrtApi */

#define DEFINE(place, result, name, arguments)                                                     \
    typedef result(*type_##name) arguments;                                                        \
    enum { at_##name = (place) };
ORT_FUNCTIONS(DEFINE)
#undef DEFINE
#define ORT(name) ((type_##name)atomic_load_explicit(&table, memory_order_acquire)[at_##name])

#define TRY(call)                                                                                  \
    do {                                                                                           \
        OrtStatus *try_ = (call);                                                                  \
        if (try_)                                                                                  \
            return try_;                                                                           \
    } while (0)

static OrtStatus *refuse(lb_status status)
{
    int code = status == LB_INVALID_ARGUMENT ? ORT_INVALID_ARGUMENT
               : status == LB_UNSUPPORTED    ? ORT_NOT_IMPLEMENTED
                                             : ORT_FAIL;
    char text[1100];
    snprintf(text, sizeof text, "lowbit.Gemm: %s", lb_linear_error());
    return ORT(CreateStatus)(code, text);
}

/* lb_type and ONNX's number; the types that tensors are stored as. */
static const struct {
    int32_t type;
    int onnx;
} types[] = {
    {LB_TYPE_F32, ONNX_FLOAT}, {LB_TYPE_U8, ONNX_UINT8},    {LB_TYPE_S8, ONNX_INT8},
    {LB_TYPE_S32, ONNX_INT32}, {LB_TYPE_F16, ONNX_FLOAT16}, {LB_TYPE_BF16, ONNX_BFLOAT16},
};
enum { TYPES = sizeof types / sizeof *types };

static int32_t type_of(int onnx)
{
    for (int i = 0; i < TYPES; i++)
        if (types[i].onnx == onnx)
            return types[i].type;
    return LB_TYPE_NONE;
}

static int onnx_of(int32_t type)
{
    for (int i = 0; i < TYPES; i++)
        if (types[i].type == type)
            return types[i].onnx;
    return ONNX_ANY;
}

/* A value as lb_tensor; dims has room for RANK. */
static OrtStatus *tensor_of(const OrtValue *value, int64_t *dims, lb_tensor *tensor)
{
    OrtTensorInfo *info = NULL;
    size_t rank = 0;
    int onnx = 0;
    void *data = NULL;
    TRY(ORT(GetTensorTypeAndShape)(value, &info));
    OrtStatus *status = ORT(GetTensorElementType)(info, &onnx);
    if (!status)
        status = ORT(GetDimensionsCount)(info, &rank);
    if (!status && rank > RANK)
        status = ORT(CreateStatus)(ORT_INVALID_ARGUMENT, "lowbit.Gemm: more than 8 dimensions");
    if (!status)
        status = ORT(GetDimensions)(info, dims, rank);
    ORT(ReleaseTensorTypeAndShapeInfo)(info);
    TRY(status);
    TRY(ORT(GetTensorMutableData)((OrtValue *)(uintptr_t)value, &data));
    static const char empty; /* a tensor without elements may have no address */
    *tensor = (lb_tensor){data ? data : &empty, type_of(onnx), (int32_t)rank, dims};
    return NULL;
}

/* ---- Kernel ---------------------------------------------------------------------------------- */

static OrtStatus *attribute(const OrtKernelInfo *info, const char *name, const char *fallback,
                            char *text)
{
    size_t size = LINE_LENGTH;
    OrtStatus *status = ORT(KernelInfoGetAttribute_string)(info, name, text, &size);
    if (status && fallback) {
        ORT(ReleaseStatus)(status);
        status = NULL;
        memcpy(text, fallback, strlen(fallback) + 1);
    }
    return status;
}

static int is_cuda(const OrtCustomOp *op);

static OrtStatus *create(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info,
                         void **out)
{
    (void)api;
    char line[LINE_LENGTH], device[LINE_LENGTH];
    int64_t dims[LB_WEIGHT_COUNT][RANK];
    lb_tensor weights[LB_WEIGHT_COUNT] = {{NULL, 0, 0, NULL}};
    TRY(attribute(info, "problem", NULL, line));
    TRY(attribute(info, "device", "auto", device));
    for (size_t i = 0; i < LB_WEIGHT_COUNT; i++) {
        const OrtValue *value = NULL;
        int constant = 0;
        OrtStatus *status =
            ORT(KernelInfoGetConstantInput_tensor)(info, constant_at[i], &constant, &value);
        if (status) /* a node with fewer inputs */
            ORT(ReleaseStatus)(status);
        else if (constant && value)
            TRY(tensor_of(value, dims[i], &weights[i]));
    }
    kernel *k = calloc(1, sizeof *k);
    if (!k)
        return ORT(CreateStatus)(ORT_FAIL, "lowbit.Gemm: no memory");
    k->cuda = is_cuda(op);
    lb_status status = lb_linear_create(k->cuda ? "cuda" : device, line, weights, &k->linear);
    if (status != LB_OK) {
        free(k);
        return refuse(status);
    }
    *out = k;
    return NULL;
}

static void destroy(void *self)
{
    kernel *k = self;
    lb_linear_release(k->linear);
    free(k);
}

/* On the provider's stream. */
static OrtStatus *run_cuda(kernel *k, OrtKernelContext *run, lb_args *args)
{
    const lb_plan *plan;
    uint64_t bytes = 0;
    void *stream = NULL;
    lb_status status = lb_linear_plan(k->linear, args->m, &plan, &bytes);
    if (status != LB_OK)
        return refuse(status);
    TRY(ORT(KernelContext_GetGPUComputeStream)(run, &stream));
    if (bytes) {
        char text[160];
        snprintf(text, sizeof text,
                 "lowbit.Gemm: this kernel needs %llu bytes of workspace on the CUDA provider",
                 (unsigned long long)bytes);
        return ORT(CreateStatus)(ORT_NOT_IMPLEMENTED, text);
    }
    status = lb_linear_run(k->linear, args, stream);
    return status == LB_OK ? NULL : refuse(status);
}

static OrtStatus *compute(void *self, OrtKernelContext *run)
{
    kernel *k = self;
    size_t count = 0;
    int64_t dims[INPUTS][RANK], row;
    int32_t type;
    lb_tensor tensors[LB_INPUT_COUNT] = {{NULL, 0, 0, NULL}};
    lb_args args = LB_ARGS_INIT;
    OrtValue *output = NULL;
    TRY(ORT(KernelContext_GetInputCount)(run, &count));
    for (size_t i = 0; i < count && i < INPUTS; i++) {
        const OrtValue *value = NULL;
        if (order[i] < 0)
            continue;
        TRY(ORT(KernelContext_GetInput)(run, i, &value));
        if (value)
            TRY(tensor_of(value, dims[i], &tensors[order[i]]));
    }
    lb_status status = lb_linear_bind(k->linear, tensors, &args);
    if (status != LB_OK)
        return refuse(status);

    const lb_tensor *a = &tensors[LB_INPUT_A];
    int64_t shape[RANK];
    memcpy(shape, a->dims, (size_t)a->rank * sizeof *shape);
    lb_linear_output(k->linear, &type, &row);
    shape[a->rank - 1] = row;
    TRY(ORT(KernelContext_GetOutput)(run, 0, shape, (size_t)a->rank, &output));
    TRY(ORT(GetTensorMutableData)(output, &args.d.base));
    if (k->cuda)
        return run_cuda(k, run, &args);
    status = lb_linear_run_host(k->linear, &args);
    return status == LB_OK ? NULL : refuse(status);
}

/* ---- Type and shape of the output ------------------------------------------------------------ */

static OrtStatus *infer(const OrtCustomOp *op, OrtShapeContext *shapes)
{
    (void)op;
    const OrtAttribute *attribute = NULL;
    OrtTensorInfo *a = NULL, *d = NULL;
    char line[LINE_LENGTH] = "";
    size_t needed = 0, rank = 0;
    int64_t dims[RANK];
    lb_problem p;
    TRY(ORT(ShapeInferContext_GetAttribute)(shapes, "problem", &attribute));
    TRY(ORT(ReadOpAttr)(attribute, ORT_STRING_ATTRIBUTE, line, sizeof line - 1, &needed));
    if (lb_problem_parse(line, &p) != LB_OK) {
        char text[1100];
        snprintf(text, sizeof text, "lowbit.Gemm: %s", lb_last_error());
        return ORT(CreateStatus)(ORT_INVALID_ARGUMENT, text);
    }
    int bits = lb_type_bits(p.d.type);
    int64_t row = bits < 8 ? (p.n * bits + 7) / 8 : p.n;
    TRY(ORT(ShapeInferContext_GetInputTypeShape)(shapes, 0, &a));
    TRY(ORT(GetDimensionsCount)(a, &rank));
    if (rank < 1 || rank > RANK)
        return ORT(CreateStatus)(ORT_INVALID_ARGUMENT,
                                 "lowbit.Gemm: A must have 1 to 8 dimensions");
    TRY(ORT(GetDimensions)(a, dims, rank));
    dims[rank - 1] = row;
    TRY(ORT(CreateTensorTypeAndShapeInfo)(&d));
    OrtStatus *status = ORT(SetTensorElementType)(d, onnx_of(bits < 8 ? LB_TYPE_U8 : p.d.type));
    if (!status)
        status = ORT(SetDimensions)(d, dims, rank);
    if (!status)
        status = ORT(ShapeInferContext_SetOutputTypeShape)(shapes, 0, d);
    ORT(ReleaseTensorTypeAndShapeInfo)(d);
    return status;
}

/* ---- Description ----------------------------------------------------------------------------- */

static const char *name(const OrtCustomOp *op)
{
    (void)op;
    return "Gemm";
}
static const char *provider_cpu(const OrtCustomOp *op)
{
    (void)op;
    return "CPUExecutionProvider";
}
static const char *provider_cuda(const OrtCustomOp *op)
{
    (void)op;
    return "CUDAExecutionProvider";
}
static int any_type(const OrtCustomOp *op, size_t i)
{
    (void)op;
    (void)i;
    return ONNX_ANY;
}
static size_t input_count(const OrtCustomOp *op)
{
    (void)op;
    return INPUTS;
}
static size_t output_count(const OrtCustomOp *op)
{
    (void)op;
    return 1;
}
static int required(const OrtCustomOp *op, size_t i)
{
    (void)op;
    (void)i;
    return ORT_INPUT_REQUIRED;
}
static int zero(const OrtCustomOp *op)
{
    (void)op;
    return 0;
}
static int one(const OrtCustomOp *op)
{
    (void)op;
    return 1;
}
static int last_version(const OrtCustomOp *op)
{
    (void)op;
    return INT32_MAX;
}

static int characteristic(const OrtCustomOp *op, size_t i)
{
    (void)op;
    return i < 2 ? ORT_INPUT_REQUIRED : ORT_INPUT_OPTIONAL;
}

/* Weights are packed on the host, wherever the kernel runs. */
static int memory(const OrtCustomOp *op, size_t i)
{
    (void)op;
    return i < INPUTS && order[i] < 0 ? ORT_MEMORY_CPU_INPUT : ORT_MEMORY_DEFAULT;
}

#define GEMM(provider)                                                                             \
    {                                                                                              \
        .version = ORT_VERSION_USED, .GetName = name, .GetExecutionProviderType = (provider),      \
        .GetInputType = any_type, .GetInputTypeCount = input_count, .GetOutputType = any_type,     \
        .GetOutputTypeCount = output_count, .KernelDestroy = destroy,                              \
        .GetInputCharacteristic = characteristic, .GetOutputCharacteristic = required,             \
        .GetInputMemoryType = memory, .GetVariadicInputMinArity = one,                             \
        .GetVariadicInputHomogeneity = zero, .GetVariadicOutputMinArity = one,                     \
        .GetVariadicOutputHomogeneity = zero, .CreateKernelV2 = create,                            \
        .KernelComputeV2 = compute, .InferOutputShapeFn = infer, .GetStartVersion = one,           \
        .GetEndVersion = last_version                                                              \
    }
/* They must outlive the sessions. */
static const OrtCustomOp ops[] = {GEMM(provider_cpu), GEMM(provider_cuda)};

static int is_cuda(const OrtCustomOp *op)
{
    return op->GetExecutionProviderType == provider_cuda;
}

/* The entry that ONNX Runtime looks for in a custom-op library. */
LB_API OrtStatus *RegisterCustomOps(OrtSessionOptions *options, const OrtApiBase *base);
OrtStatus *RegisterCustomOps(OrtSessionOptions *options, const OrtApiBase *base)
{
    static _Atomic(OrtDomain *) domain; /* one for the process; the runtime keeps the pointer */
    const OrtApi *api = base->GetApi(ORT_VERSION_USED);
    if (!api) { /* not even a status can be made without it, but version 1 of the table has that */
        api = base->GetApi(1);
        atomic_store(&table, (const any_function *)(const void *)api);
        return ORT(CreateStatus)(ORT_FAIL, "lowbit: ONNX Runtime 1.17 or later is needed");
    }
    atomic_store(&table, (const any_function *)(const void *)api);
    OrtDomain *made = atomic_load(&domain);
    if (!made) {
        TRY(ORT(CreateCustomOpDomain)("lowbit", &made));
        for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
            OrtStatus *status = ORT(CustomOpDomain_Add)(made, &ops[i]);
            if (status) {
                ORT(ReleaseCustomOpDomain)(made);
                return status;
            }
        }
        OrtDomain *none = NULL;
        if (!atomic_compare_exchange_strong(&domain, &none, made)) {
            ORT(ReleaseCustomOpDomain)(made);
            made = none;
        }
    }
    return ORT(AddCustomOpDomain)(options, made);
}
