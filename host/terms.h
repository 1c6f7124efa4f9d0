/* SPDX-License-Identifier: Apache-2.0 */
/* Terms of stored matrices (lb_stored_terms), for what packs them. */
#ifndef LB_TERMS_H
#define LB_TERMS_H

#include "panels.h"

/* Term `index` of a matrix, which has *count; `sizes_only` as of lb_matrix_open. */
lb_status lb_term_open(const lb_stored *stored, bool sizes_only, int32_t index, lb_matrix *m,
                       lb_term *t, int32_t *count);
/* The B that it is. */
lb_operand lb_term_operand(const lb_matrix *m, const lb_term *t);
/* Whether codes of the matrix's group j count in this term: else their value is the zero point. */
bool lb_term_has_group(const lb_term *t, int64_t j);
/* The value of a code that counts. */
int lb_term_value(const lb_form *f, const lb_term *t, unsigned code);
/* lb_stored_order of an open matrix. */
lb_status lb_matrix_order(const lb_matrix *m, int32_t *perm);

#endif
