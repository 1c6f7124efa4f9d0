# SPDX-License-Identifier: Apache-2.0
#
# lowbit_embed(<target> <table> <file>...)
#
# Puts files into <target> as `const lb_embedded <table>s[]` and `const size_t <table>_count` (host/embedded.h).
# The assembler reads the files itself (.incbin): no script language, no megabytes of C arrays to parse, and the
# dependency below makes an edited file rebuild just this object. The table is assembler too, because C does
# not take the difference of two symbols for a constant.
enable_language(ASM)

function(lowbit_embed target table)
    # .dc.a is a word as wide as an address.
    set(names "")
    set(rows "")
    set(count 0)
    foreach(file IN LISTS ARGN)
        cmake_path(GET file FILENAME name)
        string(APPEND names
            ".Lname${count}: .asciz \"${name}\"\n"
            "    .balign 16\n"
            ".Ldata${count}: .incbin \"${file}\"\n"
            ".Lend${count}: .byte 0\n")
        string(APPEND rows "    .dc.a .Lname${count}, .Ldata${count}, .Lend${count} - .Ldata${count}\n")
        math(EXPR count "${count} + 1")
    endforeach()
    set(LOWBIT_EMBED_TABLE ${table})
    set(LOWBIT_EMBED_COUNT ${count})
    set(LOWBIT_EMBED_NAMES "${names}")
    set(LOWBIT_EMBED_ROWS "${rows}")
    set(source ${CMAKE_CURRENT_BINARY_DIR}/${table}s.S)
    configure_file(${PROJECT_SOURCE_DIR}/cmake/embed.S.in ${source} @ONLY)
    set_source_files_properties(${source} TARGET_DIRECTORY ${target} PROPERTIES OBJECT_DEPENDS "${ARGN}")
    target_sources(${target} PRIVATE ${source})
endfunction()
