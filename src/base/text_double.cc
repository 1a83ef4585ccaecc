/* text_double.cc - the shortest digits of a double, from the C++ library (Ryu): printf() and
 * strtod() in a loop take ten times as long. */
#include "base/text_double.h"

#include <charconv>

extern "C" size_t cvm_double_scientific(double value, char *text, size_t size)
{
    std::to_chars_result result =
        std::to_chars(text, text + size, value, std::chars_format::scientific);
    return result.ec == std::errc() ? static_cast<size_t>(result.ptr - text) : 0;
}
