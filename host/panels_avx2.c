/* SPDX-License-Identifier: Apache-2.0 */
/* Panels (panels.h) for x86-64 with AVX2, where the compiler makes code for it: the same source,
 * with vectors twice as long. */
#ifdef __AVX2__
#define LB_PANEL_CODE lb_panel_code_avx2
#define LB_PANEL_NAME "avx2"
#include "panels_code.h"
#else
#include "panels.h"
const lb_panel_code lb_panel_code_avx2 = {.name = NULL};
#endif
