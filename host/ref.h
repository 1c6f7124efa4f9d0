/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_REF_H
#define LB_REF_H

#include "backend.h"

extern const lb_backend lb_ref_backend;

#endif
