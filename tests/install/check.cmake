# SPDX-License-Identifier: Apache-2.0
#
# cmake -DBUILD_DIR= -DSCRATCH= -DLIBDIR= -DEXAMPLES= -DCC= -DPKG_CONFIG= -DGENERATOR= -P
# Installs BUILD_DIR, moves the result to show that it can be moved, and builds and runs EXAMPLES from it.
function(run)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(NOT result EQUAL 0)
        list(JOIN ARGN " " line)
        message(FATAL_ERROR "${line}\nended with ${result}:\n${output}")
    endif()
    set(output "${output}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${SCRATCH})
run(${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${SCRATCH}/first)
set(prefix ${SCRATCH}/moved)
file(RENAME ${SCRATCH}/first ${prefix})

file(GLOB sources ${EXAMPLES}/*.c)
if(NOT sources)
    message(FATAL_ERROR "no examples in ${EXAMPLES}")
endif()

run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/consumer -B ${SCRATCH}/consumer -G ${GENERATOR}
    -DCMAKE_C_COMPILER=${CC} -DCMAKE_PREFIX_PATH=${prefix} -DEXAMPLES=${EXAMPLES})
run(${CMAKE_COMMAND} --build ${SCRATCH}/consumer)

# Only the installed module may be seen; --static lists Libs.private for those who link liblowbit.a.
set(ENV{PKG_CONFIG_LIBDIR} ${prefix}/${LIBDIR}/pkgconfig)
set(ENV{PKG_CONFIG_PATH} "")
foreach(query cflags libs "static;libs")
    list(TRANSFORM query PREPEND --)
    run(${PKG_CONFIG} ${query} lowbit)
    string(STRIP "${output}" output)
    string(REPLACE ";" "" name "${query}")
    separate_arguments(flags${name} UNIX_COMMAND "${output}")
endforeach()
list(TRANSFORM flags--static--libs REPLACE "^-llowbit$" "-l:liblowbit.a")

foreach(source IN LISTS sources)
    cmake_path(GET source STEM name)
    run(${CC} ${flags--cflags} ${source} -o ${SCRATCH}/${name}_pc ${flags--libs} -lm -Wl,-rpath,${prefix}/${LIBDIR})
    run(${CC} ${flags--cflags} ${source} -o ${SCRATCH}/${name}_pc_static ${flags--static--libs} -lm)

    unset(first)
    foreach(program consumer/${name}_lowbit consumer/${name}_static ${name}_pc ${name}_pc_static)
        run(${SCRATCH}/${program})
        message("${program}:\n${output}")
        if(DEFINED first AND NOT first STREQUAL output)
            message(FATAL_ERROR "${program} printed something else than the program before it")
        endif()
        set(first "${output}")
    endforeach()
endforeach()

# Programs come along and find the library beside them.
if(EXISTS ${prefix}/bin/qbench)
    run(${prefix}/bin/qbench devices)
endif()
