#include "base/url.h"

#include <string.h>

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c == '\0' ? NULL : strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c);
    return at == NULL ? -1 : (int)(at - digits);
}

bool cvm_url_decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        int value = *from;
        if (*from == '%') {
            int high = hex_digit(from[1]);
            int low = high < 0 ? -1 : hex_digit(from[2]);
            value = high * 16 + low;
            if (low < 0 || value == 0) {
                return false;
            }
            from += 2;
        }
        *to++ = (char)value;
    }
    *to = '\0';
    return true;
}

int cvm_url_number(const char *text, int max)
{
    int value = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || value > max / 10) {
            return -1;
        }
        value = value * 10 + (*at - '0');
    }
    return text[0] != '\0' && value <= max ? value : -1;
}
