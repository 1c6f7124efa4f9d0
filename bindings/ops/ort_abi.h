/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of ONNX Runtime's C interface that a custom op needs, as its binary layout. No package
 * that can be relied on ships the C header. OrtApi is a table of function pointers that is only
 * ever appended to (the runtime asserts the length of each released version), so a function is its
 * place in the table. Checked at load by asking for version 17, and by the tests, which run
 * under the real runtime.
 */
#ifndef LOWBIT_ORT_ABI_H
#define LOWBIT_ORT_ABI_H

#include <stddef.h>
#include <stdint.h>

enum { ORT_VERSION_USED = 17 }; /* ONNX Runtime 1.17 and later */

/* Opaque there as here. */
typedef struct OrtStatus OrtStatus;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtKernelInfo OrtKernelInfo;
typedef struct OrtKernelContext OrtKernelContext;
typedef struct OrtValue OrtValue;
typedef struct OrtTensorInfo OrtTensorInfo; /* OrtTensorTypeAndShapeInfo */
typedef struct OrtDomain OrtDomain;         /* OrtCustomOpDomain */
typedef struct OrtShapeContext OrtShapeContext;
typedef struct OrtAttribute OrtAttribute; /* OrtOpAttr */
typedef struct OrtApi OrtApi;

typedef struct OrtApiBase {
    const OrtApi *(*GetApi)(uint32_t version);
    const char *(*GetVersionString)(void);
} OrtApiBase;

enum { ORT_FAIL = 1, ORT_INVALID_ARGUMENT = 2, ORT_NOT_IMPLEMENTED = 9 };
enum { ORT_STRING_ATTRIBUTE = 5 };
enum { ORT_INPUT_REQUIRED = 0, ORT_INPUT_OPTIONAL = 1 };
enum { ORT_MEMORY_CPU_INPUT = -2, ORT_MEMORY_DEFAULT = 0 };

/* ONNX's element types: TensorProto.DataType. */
enum {
    ONNX_ANY = 0,
    ONNX_FLOAT = 1,
    ONNX_UINT8 = 2,
    ONNX_INT8 = 3,
    ONNX_INT32 = 6,
    ONNX_FLOAT16 = 10,
    ONNX_BFLOAT16 = 16
};

/* Place in OrtApi, result, name, arguments. */
#define ORT_FUNCTIONS(F)                                                                           \
    F(0, OrtStatus *, CreateStatus, (int code, const char *text))                                  \
    F(26, OrtStatus *, CreateCustomOpDomain, (const char *name, OrtDomain **domain))               \
    F(27, OrtStatus *, CustomOpDomain_Add, (OrtDomain * domain, const struct OrtCustomOp *op))     \
    F(28, OrtStatus *, AddCustomOpDomain, (OrtSessionOptions * options, OrtDomain * domain))       \
    F(51, OrtStatus *, GetTensorMutableData, (OrtValue * value, void **data))                      \
    F(57, OrtStatus *, CreateTensorTypeAndShapeInfo, (OrtTensorInfo * *info))                      \
    F(58, OrtStatus *, SetTensorElementType, (OrtTensorInfo * info, int type))                     \
    F(59, OrtStatus *, SetDimensions, (OrtTensorInfo * info, const int64_t *dims, size_t count))   \
    F(60, OrtStatus *, GetTensorElementType, (const OrtTensorInfo *info, int *type))               \
    F(61, OrtStatus *, GetDimensionsCount, (const OrtTensorInfo *info, size_t *count))             \
    F(62, OrtStatus *, GetDimensions, (const OrtTensorInfo *info, int64_t *dims, size_t count))    \
    F(65, OrtStatus *, GetTensorTypeAndShape, (const OrtValue *value, OrtTensorInfo **info))       \
    F(87, OrtStatus *, KernelInfoGetAttribute_string,                                              \
      (const OrtKernelInfo *info, const char *name, char *text, size_t *size))                     \
    F(88, OrtStatus *, KernelContext_GetInputCount, (const OrtKernelContext *run, size_t *count))  \
    F(90, OrtStatus *, KernelContext_GetInput,                                                     \
      (const OrtKernelContext *run, size_t index, const OrtValue **value))                         \
    F(91, OrtStatus *, KernelContext_GetOutput,                                                    \
      (OrtKernelContext * run, size_t index, const int64_t *dims, size_t count, OrtValue **value)) \
    F(93, void, ReleaseStatus, (OrtStatus * status))                                               \
    F(99, void, ReleaseTensorTypeAndShapeInfo, (OrtTensorInfo * info))                             \
    F(101, void, ReleaseCustomOpDomain, (OrtDomain * domain))                                      \
    F(193, OrtStatus *, KernelContext_GetGPUComputeStream,                                         \
      (const OrtKernelContext *run, void **stream))                                                \
    F(194, OrtStatus *, GetTensorMemoryInfo, (const OrtValue *value, const void **memory))         \
    F(249, OrtStatus *, KernelInfoGetConstantInput_tensor,                                         \
      (const OrtKernelInfo *info, size_t index, int *constant, const OrtValue **value))            \
    F(268, OrtStatus *, ShapeInferContext_GetInputTypeShape,                                       \
      (const OrtShapeContext *shapes, size_t index, OrtTensorInfo **info))                         \
    F(269, OrtStatus *, ShapeInferContext_GetAttribute,                                            \
      (const OrtShapeContext *shapes, const char *name, const OrtAttribute **attribute))           \
    F(270, OrtStatus *, ShapeInferContext_SetOutputTypeShape,                                      \
      (const OrtShapeContext *shapes, size_t index, const OrtTensorInfo *info))                    \
    F(272, OrtStatus *, ReadOpAttr,                                                                \
      (const OrtAttribute *attribute, int type, void *data, size_t size, size_t *needed))

/* What a custom op is: a table of the library's own. Fields past `version`'s are not looked at. */
typedef struct OrtCustomOp {
    uint32_t version;
    void *CreateKernel; /* version 1's; CreateKernelV2 takes its place */
    const char *(*GetName)(const struct OrtCustomOp *);
    const char *(*GetExecutionProviderType)(const struct OrtCustomOp *);
    int (*GetInputType)(const struct OrtCustomOp *, size_t);
    size_t (*GetInputTypeCount)(const struct OrtCustomOp *);
    int (*GetOutputType)(const struct OrtCustomOp *, size_t);
    size_t (*GetOutputTypeCount)(const struct OrtCustomOp *);
    void *KernelCompute; /* likewise */
    void (*KernelDestroy)(void *);
    int (*GetInputCharacteristic)(const struct OrtCustomOp *, size_t);
    int (*GetOutputCharacteristic)(const struct OrtCustomOp *, size_t);
    int (*GetInputMemoryType)(const struct OrtCustomOp *, size_t);
    int (*GetVariadicInputMinArity)(const struct OrtCustomOp *);
    int (*GetVariadicInputHomogeneity)(const struct OrtCustomOp *);
    int (*GetVariadicOutputMinArity)(const struct OrtCustomOp *);
    int (*GetVariadicOutputHomogeneity)(const struct OrtCustomOp *);
    OrtStatus *(*CreateKernelV2)(const struct OrtCustomOp *, const OrtApi *, const OrtKernelInfo *,
                                 void **);
    OrtStatus *(*KernelComputeV2)(void *, OrtKernelContext *);
    OrtStatus *(*InferOutputShapeFn)(const struct OrtCustomOp *, OrtShapeContext *);
    int (*GetStartVersion)(const struct OrtCustomOp *);
    int (*GetEndVersion)(const struct OrtCustomOp *);
    void *later[4];
} OrtCustomOp;

#endif
