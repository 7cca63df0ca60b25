include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS baton EXPORT batonTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
foreach(folder IN LISTS baton_folders)
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/${folder}" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/baton"
          FILES_MATCHING PATTERN "*.h" PATTERN "baton.h" EXCLUDE)
endforeach()
install(FILES "${PROJECT_SOURCE_DIR}/runtime/baton.h" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/baton")

set(baton_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/baton")
install(EXPORT batonTargets NAMESPACE baton:: DESTINATION "${baton_package_dir}")
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/batonConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/batonConfig.cmake" INSTALL_DESTINATION "${baton_package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/batonConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/batonConfig.cmake" "${PROJECT_BINARY_DIR}/batonConfigVersion.cmake"
        DESTINATION "${baton_package_dir}")

# baton.pc finds its prefix from its own place, so that the tree can be moved.
list(JOIN baton_public_flags " " baton_pc_cflags)
list(JOIN baton_public_link_flags " " baton_pc_libs)
file(RELATIVE_PATH baton_pc_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" baton_pc_prefix "${baton_pc_prefix}")
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(baton_pc_prefix "${CMAKE_INSTALL_PREFIX}")
else()
  set(baton_pc_prefix "\${pcfiledir}/${baton_pc_prefix}")
endif()
configure_file("${CMAKE_CURRENT_LIST_DIR}/baton.pc.in" "${PROJECT_BINARY_DIR}/baton.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/baton.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
