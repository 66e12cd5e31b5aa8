# What `cmake --install` puts where: the binary, its man page, and the shipped scenarios, which the
# binary finds at ../share/gyges/scenarios. Policies, personas and schemas are inside the binary.
include(GNUInstallDirs)
install(TARGETS gyges RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${CMAKE_CURRENT_LIST_DIR}/../docs/man/gyges.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(DIRECTORY ${CMAKE_CURRENT_LIST_DIR}/../scenarios DESTINATION ${CMAKE_INSTALL_DATADIR}/gyges)
