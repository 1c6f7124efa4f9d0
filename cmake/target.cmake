# SPDX-License-Identifier: Apache-2.0
#
# How everything here is compiled, said once.

# lowbit_defaults(<target>): standard, warnings, sanitizers.
function(lowbit_defaults target)
    set_target_properties(${target} PROPERTIES
        C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF
        CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF)
    # Strict C11 hides POSIX; _DEFAULT_SOURCE brings it back.
    target_compile_definitions(${target} PRIVATE _DEFAULT_SOURCE)
    target_compile_options(${target} PRIVATE
        $<$<COMPILE_LANGUAGE:C,CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion>
        $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wvla>
        $<$<AND:$<BOOL:${LOWBIT_WERROR}>,$<COMPILE_LANGUAGE:C,CXX>>:-Werror>)
    if(LOWBIT_SANITIZE)
        target_compile_options(${target} PRIVATE
            $<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=${LOWBIT_SANITIZE} -fno-sanitize-recover=all
            -fno-omit-frame-pointer>)
        target_link_options(${target} PRIVATE -fsanitize=${LOWBIT_SANITIZE})
    endif()
endfunction()

# lowbit_executable(<name> SOURCES <file>... [LINK <library>...])
function(lowbit_executable name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK")
    add_executable(${name} ${arg_SOURCES})
    lowbit_defaults(${name})
    target_link_libraries(${name} PRIVATE ${arg_LINK})
    # An installed program finds the library beside it, wherever the prefix has been moved.
    cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_LIBDIR BASE_DIRECTORY ${CMAKE_INSTALL_FULL_BINDIR} OUTPUT_VARIABLE up)
    set_target_properties(${name} PROPERTIES INSTALL_RPATH "$ORIGIN/${up}")
endfunction()
