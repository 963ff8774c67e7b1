# What "cmake --install" and "make install" put where. Included by CMakeLists.txt, and by nothing else.

include(CMakePackageConfigHelpers)

# Where the libraries of the system are executable, or not, ours follow: tools of the distributions go by it.
set(library_kind PROGRAMS)
if(CMAKE_INSTALL_SO_NO_EXE)
  set(library_kind FILES)
endif()

# The archive is for the system's OpenSSL: with another one inside, its names would clash with the host's.
set(install_static ON)
if(crypto_inside)
  set(install_static OFF)
endif()

# --- The library -----------------------------------------------------------------------------------------------

# libtlsloop.so -> libtlsloop.so.0 -> libtlsloop.so.0.x.y: what the linker, the loader and the package ask for.
set(full_name libtlsloop.so.${PROJECT_VERSION})
set(link_dir ${CMAKE_CURRENT_BINARY_DIR}/links)
file(MAKE_DIRECTORY ${link_dir})
file(CREATE_LINK ${full_name} ${link_dir}/libtlsloop.so.0 SYMBOLIC)
file(CREATE_LINK libtlsloop.so.0 ${link_dir}/libtlsloop.so SYMBOLIC)

install(${library_kind} ${shared_library} DESTINATION ${CMAKE_INSTALL_LIBDIR} RENAME ${full_name} COMPONENT runtime)
install(FILES ${link_dir}/libtlsloop.so.0 DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime)
install(FILES ${link_dir}/libtlsloop.so DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(FILES include/tlsloop.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
if(install_static)
  install(FILES ${static_library} DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
endif()

# "cmake --install --strip" knows only what CMake itself has linked.
set(strip_dir "\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}")
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(strip_dir "\$ENV{DESTDIR}${CMAKE_INSTALL_LIBDIR}")
endif()
set(strip_code "if(CMAKE_INSTALL_DO_STRIP)\n  execute_process(COMMAND \"${CMAKE_STRIP}\" ")
install(CODE "${strip_code} --strip-unneeded \"${strip_dir}/${full_name}\")\nendif()" COMPONENT runtime)
if(install_static)
  install(CODE "${strip_code} --strip-debug \"${strip_dir}/libtlsloop.a\")\nendif()" COMPONENT development)
endif()

# --- How others find it ----------------------------------------------------------------------------------------

# Written when it is installed, because "cmake --install --prefix" may name another place than the configuration did.
# A tree that is to be moved about names its place relative to the file itself.
set(pc_private "")
if(install_static)
  set(pc_private "Requires.private: libssl >= 3.0, libcrypto >= 3.0\nLibs.private: -lpthread -ldl -lm\n")
endif()
foreach(part LIBDIR INCLUDEDIR)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${part}}")
    set(pc_${part} "${CMAKE_INSTALL_${part}}")
  else()
    set(pc_${part} "\${prefix}/${CMAKE_INSTALL_${part}}")
  endif()
endforeach()
file(RELATIVE_PATH pc_up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
set(pc_prefix "@CMAKE_INSTALL_PREFIX@")
if(TLSLOOP_RELOCATABLE)
  set(pc_prefix "\${pcfiledir}/${pc_up}")
endif()
string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
configure_file(cmake/tlsloop.pc.in tlsloop.pc.in @ONLY)
set(pc_file ${CMAKE_CURRENT_BINARY_DIR}/tlsloop.pc)
install(CODE "configure_file(\"${pc_file}.in\" \"${pc_file}\" @ONLY)" COMPONENT development)
install(FILES ${pc_file} DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)

set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/tlsloop)
configure_package_config_file(cmake/tlsloopConfig.cmake.in tlsloopConfig.cmake
  INSTALL_DESTINATION ${config_dir}
  PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
# As the soname says: what was built with 0.1 runs with every later 0.x.
write_basic_package_version_file(tlsloopConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/tlsloopConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/tlsloopConfigVersion.cmake
  DESTINATION ${config_dir} COMPONENT development)

# --- Texts -----------------------------------------------------------------------------------------------------

install(FILES LICENSE-MIT LICENSE-APACHE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT development)
install(FILES scripts/gdb/tlsloop.py DESTINATION ${CMAKE_INSTALL_DOCDIR}/gdb COMPONENT development)
file(GLOB c_examples CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/c_examples/*.c)
install(FILES ${c_examples} DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples COMPONENT development)
file(GLOB pictures CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/docs/*.svg)
install(FILES ${pictures} DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs COMPONENT development)

# What is made when it is installed, for which nothing but a shell is needed.
function(tlsloop_make_texts script directory)
  install(CODE "execute_process(RESULT_VARIABLE status
      COMMAND bash \"${CMAKE_CURRENT_SOURCE_DIR}/scripts/${script}\" \"${directory}\")
    if(NOT status EQUAL 0)
      message(FATAL_ERROR \"scripts/${script} failed\")
    endif()" COMPONENT development)
endfunction()

set(text_dir ${CMAKE_CURRENT_BINARY_DIR}/texts)
tlsloop_make_texts(texts.sh ${text_dir})
install(DIRECTORY ${text_dir}/ DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT development)

# The pages as they stand in docs/man, and one for each further name that leads there.
set(man_dir ${CMAKE_CURRENT_BINARY_DIR}/man)
tlsloop_make_texts(man.sh ${man_dir})
foreach(number 3 7)
  install(DIRECTORY ${man_dir}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man${number} COMPONENT development
    FILES_MATCHING PATTERN "*.${number}")
endforeach()
