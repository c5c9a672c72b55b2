# room(NAME SOURCES a.c b.c LINKS other rooms and libraries): one folder = one static library qpipe_NAME.
function(room name)
    cmake_parse_arguments(arg "" "" "SOURCES;LINKS" ${ARGN})
    add_library(qpipe_${name} STATIC ${arg_SOURCES})
    target_include_directories(qpipe_${name} PUBLIC ${CMAKE_SOURCE_DIR})
    target_link_libraries(qpipe_${name} PUBLIC ${arg_LINKS})
endfunction()

# room_test(NAME SOURCES... LINKS rooms... LABELS unit): a cmocka program tests/ROOM/NAME.c registered with ctest.
function(room_test name)
    cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LINKS;LABELS" ${ARGN})
    add_executable(test_${name} ${arg_SOURCES})
    target_link_libraries(test_${name} PRIVATE ${arg_LINKS} PkgConfig::CMOCKA)
    target_compile_definitions(test_${name} PRIVATE QP_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    add_test(NAME ${name} COMMAND test_${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    # waiting threads sleep: on cores that others use a spinning team costs milliseconds a loop
    set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" SKIP_RETURN_CODE 77
        ENVIRONMENT OMP_WAIT_POLICY=passive)
    if(arg_TIMEOUT)
        set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT})
    endif()
endfunction()
