# What `cmake --install` puts where. Component runtime: the binary, its man page, the documents, and
# the shipped scenarios, which the binary finds at ../share/gyges/scenarios (policies, personas and schemas are
# inside the binary). Component library: libgyges.so with header, CMake package and pkg-config file.
include(CMakePackageConfigHelpers)
# scripts/build makes the binary alone. What is not there yet is built now; `ninja install` has built
# everything before it comes here.
function(gyges_build_before_install target file component)
  install(CODE "if(NOT EXISTS \"${file}\")
    execute_process(COMMAND \"${CMAKE_COMMAND}\" --build \"${CMAKE_BINARY_DIR}\" --target ${target}
      RESULT_VARIABLE failed)
    if(failed)
      message(FATAL_ERROR \"${target} is not built and could not be: see above\")
    endif()
  endif()" COMPONENT ${component})
endfunction()
gyges_build_before_install(gyges $<TARGET_FILE:gyges> runtime)
gyges_build_before_install(gyges_shared $<TARGET_FILE:gyges_shared> library)
install(TARGETS gyges RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
install(FILES ${CMAKE_CURRENT_LIST_DIR}/../docs/man/gyges.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
  COMPONENT runtime)
install(FILES ${CMAKE_CURRENT_LIST_DIR}/../README.md ${CMAKE_CURRENT_LIST_DIR}/../CHANGELOG.md
  ${CMAKE_CURRENT_LIST_DIR}/../LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime)
install(DIRECTORY ${CMAKE_CURRENT_LIST_DIR}/../docs DESTINATION ${CMAKE_INSTALL_DOCDIR}
  COMPONENT runtime PATTERN man EXCLUDE)
install(DIRECTORY ${CMAKE_CURRENT_LIST_DIR}/../scenarios
  DESTINATION ${CMAKE_INSTALL_DATADIR}/gyges COMPONENT runtime)

set(gyges_package ${CMAKE_INSTALL_LIBDIR}/cmake/gyges)
install(TARGETS gyges_shared EXPORT gyges
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library)
install(DIRECTORY ${CMAKE_CURRENT_LIST_DIR}/../library/include/gyges
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT library)
install(EXPORT gyges NAMESPACE gyges:: DESTINATION ${gyges_package} FILE gyges-config.cmake
  COMPONENT library)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/gyges-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/gyges-config-version.cmake DESTINATION ${gyges_package}
  COMPONENT library)
# The prefix is found from the file's own place, so that an installed tree can be moved.
file(RELATIVE_PATH gyges_up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${CMAKE_CURRENT_LIST_DIR}/gyges.pc.in ${CMAKE_BINARY_DIR}/gyges.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/gyges.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
  COMPONENT library)
