#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void digest_of(const char *text, char out[CVM_DIGEST_TEXT_SIZE])
{
    struct cvm_digest digest;
    cvm_digest_init(&digest);
    cvm_digest_add(&digest, text, strlen(text));
    cvm_digest_finish(&digest, out);
}

static void hashes_are_xxh3(void **state)
{
    (void)state;
    assert_true(cvm_hash("", 0) == 0x2D06800538D394C2U);
    assert_true(cvm_hash("abc", 3) == 0x78AF5F94892F3950U);
    assert_true(cvm_hash_seeded("abc", 3, 0) == cvm_hash("abc", 3));
    assert_true(cvm_hash_seeded("abc", 3, 1) != cvm_hash("abc", 3));
}

static void mixing_is_the_same_everywhere_and_ordered(void **state)
{
    (void)state;
    assert_true(cvm_hash_mix(0, 0) == 0xA706DD2F4D197E6FU);
    assert_true(cvm_hash_mix(1, 2) == 0xBCD9DBB49673066BU);
    assert_true(cvm_hash_mix(2, 1) == 0xE06DD043328BD285U);
}

static void digests_are_blake2b_of_256_bits(void **state)
{
    (void)state;
    char text[CVM_DIGEST_TEXT_SIZE];
    digest_of("abc", text);
    assert_string_equal(text, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
    digest_of("", text);
    assert_string_equal(text, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
}

static void a_digest_does_not_depend_on_the_pieces(void **state)
{
    (void)state;
    struct cvm_digest digest;
    char text[CVM_DIGEST_TEXT_SIZE];
    cvm_digest_init(&digest);
    cvm_digest_add(&digest, NULL, 0);
    for (int i = 0; i < 1000; i += 8) {
        cvm_digest_add(&digest, "aaaaaaaa", 8);
    }
    cvm_digest_finish(&digest, text);
    assert_string_equal(text, "e00b0ddbf1e2cdaf5c898e1a5e8826ea3a2c339bcf2a478da2e5fca9ff126672");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_xxh3),
        cmocka_unit_test(mixing_is_the_same_everywhere_and_ordered),
        cmocka_unit_test(digests_are_blake2b_of_256_bits),
        cmocka_unit_test(a_digest_does_not_depend_on_the_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
