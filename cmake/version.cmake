# The commit that a build was made from goes into base/version.c; "unknown" outside a checkout.
set(QPIPE_COMMIT unknown)
find_package(Git QUIET)
if(Git_FOUND)
    execute_process(COMMAND ${GIT_EXECUTABLE} -C ${CMAKE_SOURCE_DIR} rev-parse HEAD
        OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE rc)
    if(rc EQUAL 0)
        set(QPIPE_COMMIT ${commit})
        # logs/HEAD changes with every commit and checkout; HEAD itself only names a branch
        foreach(file HEAD logs/HEAD)
            if(EXISTS ${CMAKE_SOURCE_DIR}/.git/${file})
                set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/.git/${file})
            endif()
        endforeach()
    endif()
endif()
