# SPDX-License-Identifier: Apache-2.0
#
# cmake -DNM= -DLIBRARY= -DEXPECTED= -P: the library exports exactly the symbols listed in EXPECTED, one a line.
# A change here is a change of the ABI: see the rules at the end of lowbit.h, and CHANGELOG.md.
execute_process(COMMAND ${NM} -D --defined-only --format=posix ${LIBRARY}
    OUTPUT_VARIABLE output COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" all "${output}")
set(found "")
foreach(line IN LISTS all)
    string(REGEX REPLACE "@.*| .*" "" name "${line}")
    if(NOT name MATCHES "^LOWBIT_[0-9]+$") # the version node itself
        list(APPEND found ${name})
    endif()
endforeach()
list(SORT found)

file(STRINGS ${EXPECTED} expected REGEX "^[^#]")
set(missing ${expected})
set(unlisted ${found})
list(REMOVE_ITEM missing ${found})
list(REMOVE_ITEM unlisted ${expected})
if(missing OR unlisted)
    list(JOIN found "\n" text)
    message(FATAL_ERROR "The exported symbols differ from ${EXPECTED}\n"
        "missing from the library: ${missing}\nnot in the list: ${unlisted}\nthe library's list:\n${text}")
endif()
list(LENGTH found count)
message("${count} symbols, as listed")
