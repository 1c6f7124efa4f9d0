# SPDX-License-Identifier: Apache-2.0
#
# The two libraries made of lowbit_objects, and their installation as CMake package and pkg-config module.
# lowbit::lowbit is the shared library, or the static one where only that is built; lowbit::static is static.
include(CMakePackageConfigHelpers)

# lowbit_library(<target> <SHARED|STATIC> <exported name>)
function(lowbit_library target kind name)
    add_library(${target} ${kind} $<TARGET_OBJECTS:lowbit_objects>)
    add_library(lowbit::${name} ALIAS ${target})
    set_target_properties(${target} PROPERTIES OUTPUT_NAME lowbit EXPORT_NAME ${name} LINKER_LANGUAGE C)
    target_include_directories(${target} INTERFACE
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
        $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    target_link_libraries(${target} PRIVATE ${CMAKE_DL_LIBS} Threads::Threads m)
    if(LOWBIT_SANITIZE)
        target_link_options(${target} PUBLIC $<BUILD_INTERFACE:-fsanitize=${LOWBIT_SANITIZE}>)
    endif()
    install(TARGETS ${target} EXPORT lowbit
        LIBRARY COMPONENT runtime NAMELINK_COMPONENT development
        ARCHIVE COMPONENT development)
endfunction()

# BUILD_SHARED_LIBS not set: both. Set: the one it names.
if(NOT DEFINED BUILD_SHARED_LIBS OR BUILD_SHARED_LIBS)
    lowbit_library(lowbit SHARED lowbit)
    # While the major version is 0 each minor version may break the interface.
    if(PROJECT_VERSION_MAJOR EQUAL 0)
        set(soversion ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
    else()
        set(soversion ${PROJECT_VERSION_MAJOR})
    endif()
    set(map ${CMAKE_CURRENT_LIST_DIR}/lowbit.map)
    set_target_properties(lowbit PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${soversion} LINK_DEPENDS ${map})
    target_link_options(lowbit PRIVATE -Wl,--version-script=${map})
    if(NOT LOWBIT_SANITIZE) # whose runtime is in the program
        target_link_options(lowbit PRIVATE -Wl,--no-undefined)
    endif()
endif()
if(NOT DEFINED BUILD_SHARED_LIBS OR NOT BUILD_SHARED_LIBS)
    lowbit_library(lowbit_static STATIC static)
    target_compile_definitions(lowbit_static INTERFACE LB_STATIC)
    if(NOT TARGET lowbit::lowbit)
        add_library(lowbit::lowbit ALIAS lowbit_static)
    endif()
endif()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lowbit)
configure_package_config_file(cmake/lowbitConfig.cmake.in lowbitConfig.cmake INSTALL_DESTINATION ${package_dir}
    NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
# SameMinorVersion is the promise of 0.x.
write_basic_package_version_file(lowbitConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT lowbit FILE lowbitTargets.cmake NAMESPACE lowbit:: DESTINATION ${package_dir})
install(FILES ${PROJECT_BINARY_DIR}/lowbitConfig.cmake ${PROJECT_BINARY_DIR}/lowbitConfigVersion.cmake
    DESTINATION ${package_dir})

# Relative to the .pc file, so that a prefix may be moved; absolute where an install directory is.
cmake_path(SET pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
set(pc_prefix ${CMAKE_INSTALL_PREFIX})
if(NOT IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
    cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}/${pc_dir}
        OUTPUT_VARIABLE up)
    set(pc_prefix "\${pcfiledir}/${up}")
endif()
foreach(dir LIBDIR INCLUDEDIR)
    set(pc_${dir} "\${prefix}")
    cmake_path(APPEND pc_${dir} ${CMAKE_INSTALL_${dir}})
endforeach()
configure_file(cmake/lowbit.pc.in lowbit.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/lowbit.pc DESTINATION ${pc_dir})

install(DIRECTORY include/lowbit ${PROJECT_BINARY_DIR}/include/lowbit DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN *.h)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
