# The commit that a build was made from goes into base/version.c: of the checkout that this tree is the top of; in a source archive
# (git archive) the one that it was made from, which git writes into commit.txt; else "unknown". A checkout with changes that were
# not committed has the commit that they stand on.
set(QPIPE_COMMIT unknown)
file(STRINGS ${CMAKE_SOURCE_DIR}/cmake/commit.txt commit LIMIT_COUNT 1)
if(commit MATCHES "^[0-9a-f]+$")
    set(QPIPE_COMMIT ${commit})
endif()
find_package(Git QUIET)
if(Git_FOUND AND EXISTS ${CMAKE_SOURCE_DIR}/.git) # an unpacked archive inside another checkout is not that one
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
