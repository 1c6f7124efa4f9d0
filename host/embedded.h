/* SPDX-License-Identifier: Apache-2.0 */
/* Files that the build put into the library (cmake/embed.cmake): kernel sources and the headers
 * they include. */
#ifndef LB_EMBEDDED_H
#define LB_EMBEDDED_H

#include <stddef.h>

typedef struct lb_embedded {
    const char *name; /* without directory, e.g. "kernel_abi.h" */
    const unsigned char *data;
    size_t size; /* a zero byte follows, not counted, so that text may be read as a string */
} lb_embedded;

/* opencl/ *.cl and *.clh and host/kernel_abi.h. */
extern const lb_embedded lb_opencl_sources[];
extern const size_t lb_opencl_source_count;

/* cuda/ *.cu as fat binaries; none where this was built without nvcc. */
extern const lb_embedded lb_cuda_images[];
extern const size_t lb_cuda_image_count;

#endif
