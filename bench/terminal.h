/* SPDX-License-Identifier: Apache-2.0 */
/* Colour on standard output, where that is a terminal and the user has not said otherwise
 * (NO_COLOR, no-color.org; TERM=dumb). */
#ifndef QB_TERMINAL_H
#define QB_TERMINAL_H

typedef enum qb_ink { QB_PLAIN, QB_GOOD, QB_BAD, QB_FAINT, QB_STRONG } qb_ink;

/* Escape sequences, or "". */
const char *qb_ink_on(qb_ink ink);
const char *qb_ink_off(qb_ink ink);

#endif
