# Flags of every target: language level, warnings, sanitizers, link-time optimisation.
#
# Nothing here names a processor: binaries run on any x86-64 or aarch64. Code that wants newer
# instructions asks for them per function and chooses at run time.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_package(Threads REQUIRED)

set(sanitize_flags "")
if(FERRITE_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "FERRITE_FUZZ needs clang: configure with -DCMAKE_C_COMPILER=clang")
  endif()
  set(sanitize_flags -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
elseif(FERRITE_SANITIZE)
  set(sanitize_flags -fsanitize=${FERRITE_SANITIZE} -fno-sanitize-recover=all)
  if(FERRITE_SANITIZE STREQUAL "thread" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    list(APPEND sanitize_flags -Wno-tsan) # gcc warns of every fence; the fences are paired with atomics
  endif()
endif()

# Sets ipo_works once: whether compiler and linker agree on link-time optimisation.
if(FERRITE_LTO AND CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT sanitize_flags)
  include(CheckIPOSupported)
  check_ipo_supported(RESULT ipo_works OUTPUT ipo_reason LANGUAGES C)
  if(NOT ipo_works)
    message(STATUS "Link-time optimisation is off: ${ipo_reason}")
  endif()
endif()

# Gives `target` the include root, the warnings and the sanitizers.
function(ferrite_compile target)
  target_include_directories(${target} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}")
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wconversion -Wshadow ${sanitize_flags})
  if(FERRITE_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  target_link_options(${target} PRIVATE ${sanitize_flags})
  target_link_libraries(${target} PRIVATE Threads::Threads m)
endfunction()

# Turns link-time optimisation on for `target` where it works.
function(ferrite_optimise target)
  if(ipo_works)
    set_property(TARGET ${target} PROPERTY INTERPROCEDURAL_OPTIMIZATION ON)
  endif()
endfunction()
