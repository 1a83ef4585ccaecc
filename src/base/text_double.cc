/* text_double.cc - the shortest digits of a double (Ryu) and the nearest double of digits, from the
 * C++ library: printf() and strtod() take ten times as long, and they look at the locale. */
#include "base/text_double.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>

extern "C" size_t cvm_double_scientific(double value, char *text, size_t size)
{
    std::to_chars_result result =
        std::to_chars(text, text + size, value, std::chars_format::scientific);
    return result.ec == std::errc() ? static_cast<size_t>(result.ptr - text) : 0;
}

namespace
{

constexpr size_t EXTREME_SIZE = 512;

/* from_chars reports overflow and underflow alike; strtod tells them apart. */
bool read_extreme(const char *begin, const char *end, double *out_value)
{
    char copy[EXTREME_SIZE];
    size_t length = static_cast<size_t>(end - begin);
    if (length >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, begin, length);
    copy[length] = '\0';
    double value = strtod(copy, nullptr);
    if (!std::isfinite(value)) {
        return false;
    }
    *out_value = value;
    return true;
}

} // namespace

extern "C" bool cvm_double_from_decimal(const char *text, size_t length, double *out_value)
{
    const char *end = text + length;
    const char *digits = text < end && (*text == '-' || *text == '+') ? text + 1 : text;
    const char *begin = text < end && *text == '+' ? digits : text;
    /* from_chars also takes "inf" and "nan" */
    if (digits == end || !((*digits >= '0' && *digits <= '9') || *digits == '.')) {
        return false;
    }
    double value = 0.0;
    std::from_chars_result result = std::from_chars(begin, end, value);
    if (result.ptr != end || result.ec == std::errc::invalid_argument) {
        return false;
    }
    if (result.ec != std::errc()) {
        return read_extreme(begin, end, out_value);
    }
    *out_value = value;
    return true;
}
