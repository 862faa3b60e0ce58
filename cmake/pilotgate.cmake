# Build rules of the project: what a module, a program and a unit test are.

# Flags for our own code only; generated and system code keeps the compiler's defaults.
add_library(pilotgate_flags INTERFACE)
target_compile_options(pilotgate_flags INTERFACE $<$<C_COMPILER_ID:Clang>:-Wno-unknown-warning-option>
  -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2
  -Wpointer-arith -Wwrite-strings -Wundef -Wno-format-truncation -fno-common -fstack-protector-strong)
target_compile_definitions(pilotgate_flags INTERFACE
  _GNU_SOURCE PILOTGATE_VERSION="${PROJECT_VERSION}" $<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=2>)
if(PILOTGATE_CRASH_POINTS)
  target_compile_definitions(pilotgate_flags INTERFACE PILOTGATE_CRASH_POINTS)
endif()
target_link_options(pilotgate_flags INTERFACE -Wl,-z,relro,-z,now -Wl,--as-needed)

# Instrumented builds: what a report needs, and no more time than that (a third less to build than with -O2 -g). GCC
# sees fewer initialisations there; the plain build, with -O2, is the one that refuses.
if(PILOTGATE_ASAN OR PILOTGATE_TSAN)
  add_compile_options(-O1 -g1 -Wno-maybe-uninitialized)
endif()
if(PILOTGATE_ASAN)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(PILOTGATE_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "PILOTGATE_FUZZ needs clang: -DCMAKE_C_COMPILER=clang")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
    -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(PILOTGATE_TSAN)
  add_compile_options(-fsanitize=thread)
  add_link_options(-fsanitize=thread)
endif()

# pilotgate_module(NAME ROOT dir SOURCES ... USES ...): the static library of one module. ROOT is the
# folder that its headers are named from ("store/store.h" from collector/).
function(pilotgate_module name)
  cmake_parse_arguments(M "" "ROOT" "SOURCES;USES" ${ARGN})
  add_library(${name} STATIC ${M_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR}/${M_ROOT})
  target_link_libraries(${name} PUBLIC ${M_USES} PRIVATE pilotgate_flags)
endfunction()

# pilotgate_program(NAME SOURCES ... USES ...)
function(pilotgate_program name)
  cmake_parse_arguments(M "" "" "SOURCES;USES" ${ARGN})
  add_executable(${name} ${M_SOURCES})
  target_link_libraries(${name} PRIVATE ${M_USES} pilotgate_flags)
endfunction()

# pilotgate_test(NAME SOURCES ... USES ...): a cmocka program, run by CTest with a time limit.
function(pilotgate_test name)
  cmake_parse_arguments(M "" "" "SOURCES;USES" ${ARGN})
  add_executable(${name} ${M_SOURCES})
  target_link_libraries(${name} PRIVATE ${M_USES} PkgConfig::CMOCKA pilotgate_flags)
  target_compile_definitions(${name} PRIVATE TEST_SOURCE_DIR="${CMAKE_CURRENT_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 120)
  if(PILOTGATE_TSAN)
    # Debian's libzmq, protobuf-c, libcurl, libmicrohttpd and SQLite are not built for ThreadSanitizer: it sees what
    # they read and write, but not the atomics by which they order it. Nothing else is suppressed; what passes from
    # thread to thread through libzmq is ordered by base/tsan.h.
    set_tests_properties(${name} PROPERTIES ENVIRONMENT
      "TSAN_OPTIONS=ignore_noninstrumented_modules=1 history_size=7")
  endif()
endfunction()
