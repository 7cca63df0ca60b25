# Makes the target c-ares::cares, if there is the library: by its own package file, or, as Debian 12 has none, by the
# places of the header and the library. Read by baton's build and by its package file.
if(NOT TARGET c-ares::cares)
  find_package(c-ares QUIET CONFIG)
endif()
if(NOT TARGET c-ares::cares)
  find_path(BATON_CARES_INCLUDE_DIR ares.h)
  find_library(BATON_CARES_LIBRARY cares)
  mark_as_advanced(BATON_CARES_INCLUDE_DIR BATON_CARES_LIBRARY)
  if(BATON_CARES_INCLUDE_DIR AND BATON_CARES_LIBRARY)
    add_library(c-ares::cares UNKNOWN IMPORTED)
    set_target_properties(c-ares::cares PROPERTIES IMPORTED_LOCATION "${BATON_CARES_LIBRARY}"
      INTERFACE_INCLUDE_DIRECTORIES "${BATON_CARES_INCLUDE_DIR}")
  endif()
endif()
