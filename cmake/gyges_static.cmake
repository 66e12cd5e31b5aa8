# Static archives of third-party libraries, for targets with the property GYGES_ARCHIVES: the binary.
# A start then maps one file instead of fifteen, and relocates it once. The C library stays shared,
# because libcurl is loaded at run time. Where an archive is missing the shared library is linked.
option(GYGES_STATIC_LIBRARIES "link the binary with static archives of third-party libraries" ON)

# gyges_archives(TARGET SHARED ARCHIVE...): an interface library TARGET that links SHARED (a target
# or a list of files), or in targets with the property the archives of these names, in their order.
function(gyges_archives target shared)
  if(NOT TARGET ${target})
    add_library(${target} INTERFACE)
  endif()
  set(libraries ${shared})
  if(GYGES_STATIC_LIBRARIES AND NOT GYGES_SANITIZE)
    set(found "")
    foreach(name IN LISTS ARGN)
      find_library(GYGES_ARCHIVE_${name} NAMES lib${name}.a)
      mark_as_advanced(GYGES_ARCHIVE_${name})
      if(GYGES_ARCHIVE_${name})
        list(APPEND found ${GYGES_ARCHIVE_${name}})
      else()
        message(STATUS "no lib${name}.a: ${target} is linked shared, starts cost more")
        set(found "")
        break()
      endif()
    endforeach()
    if(found)
      set(wanted $<BOOL:$<TARGET_PROPERTY:GYGES_ARCHIVES>>)
      set(libraries "$<${wanted}:${found}>;$<$<NOT:${wanted}>:${shared}>")
    endif()
  endif()
  set_property(TARGET ${target} PROPERTY INTERFACE_LINK_LIBRARIES "${libraries}")
endfunction()
