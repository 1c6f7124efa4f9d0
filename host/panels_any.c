/* SPDX-License-Identifier: Apache-2.0 */
/* Panels (panels.h) for any processor. */
#define LB_PANEL_CODE lb_panel_code_any
#define LB_PANEL_NAME "any"
#include "panels_code.h"
