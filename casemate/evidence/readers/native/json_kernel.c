/* Lines of plain JSON objects into columns of distinct texts.
 *
 * The kernel takes only what it can prove to be plain: one object a line, written exactly as
 * orjson.dumps would write it again (no white space, canonical escapes and integers, valid UTF-8), no key
 * twice, values that are strings, integers, booleans, null or flat arrays of these.  Every other line is
 * left to the Python path, which gives the same tables for all lines; the tests compare the two.
 *
 * No Python in here: the library is loaded with ctypes, works on buffers that Python owns or copies out,
 * and holds no state besides the kernel it is given.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define VERSION 2
#define MOST_SHAPES 8192
#define MOST_FIELDS 512
#define APART_AFTER 1024   /* texts of a column, before it is judged */
#define APART_LENGTH 64    /* bytes, on average */
#define BLANK (-2)
#define ODD (-1)

enum kind { NOTHING, TEXT, ESCAPED, PLAIN, ARRAY };  /* PLAIN: integer, true, false */

typedef struct { uint8_t *at; int64_t size, room; } bytes;
typedef struct { uint32_t start, length; } span;  /* kind in the upper bits of length */

#define KIND_BITS 3
#define KIND(value) ((enum kind)((value).length & 7))
#define LENGTH(value) ((value).length >> KIND_BITS)

typedef struct {
    bytes text;                /* all distinct texts, one after the other (when `apart`, every text) */
    int32_t *ends;             /* end of each in `text` */
    uint32_t *hashes;
    int32_t count, room;
    int32_t *table;            /* open addressing: code + 1, 0 is free */
    uint32_t mask;
    int32_t *codes;            /* by slot; -1: null */
    int64_t slots;
    uint64_t seed;
    int32_t asked;             /* for the code of a text, up to APART_AFTER */
    int32_t apart;             /* nearly every text is another one, and long: not looked up any more */
} column;

typedef struct {
    int32_t fields, planned, first_key;
    uint64_t hash;
    /* the plan: where each field goes, set by kernel_plan */
    int32_t time_column, rest_column, times;
    int32_t *target;           /* by field: a column, or -1: rest */
    int32_t *time_places;
    bytes names;               /* `"name":` of each field in rest */
    int32_t *name_ends;
} shape;

typedef struct { uint32_t start, length; } key_text;

typedef struct {
    column *columns;
    int32_t column_count, column_room;
    shape *shapes;
    int32_t shape_count;
    bytes keys;                /* the texts of all keys of all shapes */
    key_text *key_texts;
    int32_t key_count, key_room;
    int32_t *shape_table;      /* open addressing on the hash of the keys */
    span *values;              /* of all lines of the block */
    int64_t value_count, value_room;
    int64_t *first_value;      /* by line */
    int64_t line_room;
    bytes scratch;
    uint64_t seed;
} kernel;

#define SHAPE_TABLE (4 * MOST_SHAPES)

int32_t kernel_version(void) { return VERSION; }

static int grow(void **at, int64_t *room, int64_t wanted, int64_t size) {
    if (wanted <= *room) return 1;
    int64_t more = *room ? *room : 256;
    while (more < wanted) more *= 2;
    void *moved = realloc(*at, (size_t)(more * size));
    if (!moved) return 0;
    *at = moved;
    *room = more;
    return 1;
}

static int put(bytes *into, const void *data, int64_t size) {
    if (!grow((void **)&into->at, &into->room, into->size + size + 1, 1)) return 0;
    memcpy(into->at + into->size, data, (size_t)size);
    into->size += size;
    return 1;
}

static uint64_t mix(uint64_t a, uint64_t b) {
    __uint128_t product = (__uint128_t)(a ^ 0x9E3779B97F4A7C15ULL) * (b ^ 0xE7037ED1A0B428DBULL);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* `seed` differs from run to run, so that nobody can write texts that all land in one place. */
static uint64_t hash_of(uint64_t seed, const uint8_t *at, int64_t size) {
    uint64_t value = seed ^ (uint64_t)size, word, other;
    while (size >= 16) {
        memcpy(&word, at, 8);
        memcpy(&other, at + 8, 8);
        value = mix(word ^ value, other);
        at += 16;
        size -= 16;
    }
    word = other = 0;
    if (size >= 8) {
        memcpy(&word, at, 8);
        memcpy(&other, at + 8, (size_t)(size - 8));
    } else if (size) {
        memcpy(&word, at, (size_t)size);
    }
    return mix(word ^ value, other);
}

/* ---- columns of distinct texts ---- */

static int widen(column *into) {
    uint32_t size = into->mask ? (into->mask + 1) * 2 : 256;
    int32_t *table = calloc(size, sizeof *table);
    if (!table) return 0;
    for (int32_t code = 0; code < into->count; code++) {
        uint32_t place = into->hashes[code] & (size - 1);
        while (table[place]) place = (place + 1) & (size - 1);
        table[place] = code + 1;
    }
    free(into->table);
    into->table = table;
    into->mask = size - 1;
    return 1;
}

/* Room for one more text. */
static int one_more(column *into, int64_t size) {
    if (into->text.size + size > INT32_MAX - 1) return 0;
    if (into->count < into->room) return 1;
    int64_t room = into->room, other = into->room;
    if (!grow((void **)&into->ends, &room, into->count + 1, sizeof *into->ends)) return 0;
    if (!grow((void **)&into->hashes, &other, into->count + 1, sizeof *into->hashes)) return 0;
    into->room = (int32_t)room;
    return 1;
}

/* The code of a text, a new one if it was not there; -1 when memory or the 2 GiB of a column are at an end. */
static int32_t code_of(column *into, const uint8_t *at, int64_t size) {
    if (into->apart) {
        if (!one_more(into, size) || !put(&into->text, at, size)) return -1;
        into->ends[into->count] = (int32_t)into->text.size;
        return into->count++;
    }
    if (into->asked < APART_AFTER && ++into->asked == APART_AFTER)
        into->apart = into->count > APART_AFTER / 8 * 5 && into->text.size > (int64_t)into->count * APART_LENGTH;
    if ((!into->mask || (uint32_t)into->count * 2 > into->mask) && !widen(into)) return -1;
    uint32_t hash = (uint32_t)(hash_of(into->seed, at, size) >> 16);
    uint32_t place = hash & into->mask;
    while (into->table[place]) {
        int32_t code = into->table[place] - 1;
        int32_t begin = code ? into->ends[code - 1] : 0;
        if (into->hashes[code] == hash && into->ends[code] - begin == size
            && !memcmp(into->text.at + begin, at, (size_t)size)) return code;
        place = (place + 1) & into->mask;
    }
    if (!one_more(into, size) || !put(&into->text, at, size)) return -1;
    into->ends[into->count] = (int32_t)into->text.size;
    into->hashes[into->count] = hash;
    into->table[place] = ++into->count;
    return into->count - 1;
}

static int reach(column *into, int64_t slots) {
    if (slots <= into->slots) return 1;
    int64_t room = into->slots;
    if (!grow((void **)&into->codes, &room, slots, sizeof *into->codes)) return 0;
    memset(into->codes + into->slots, 0xFF, (size_t)(room - into->slots) * sizeof *into->codes);
    into->slots = room;
    return 1;
}

kernel *kernel_new(uint64_t seed) {
    kernel *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    made->shapes = calloc(MOST_SHAPES, sizeof *made->shapes);
    made->shape_table = calloc(SHAPE_TABLE, sizeof *made->shape_table);
    if (!made->shapes || !made->shape_table) {
        free(made->shapes);
        free(made->shape_table);
        free(made);
        return NULL;
    }
    made->seed = seed;
    return made;
}

/* Forget all shapes and their plans. */
void kernel_forget(kernel *self) {
    for (int32_t index = 0; index < self->shape_count; index++) {
        shape *one = &self->shapes[index];
        free(one->target);
        free(one->time_places);
        free(one->names.at);
        free(one->name_ends);
        memset(one, 0, sizeof *one);
    }
    self->shape_count = self->key_count = 0;
    self->keys.size = 0;
    memset(self->shape_table, 0, SHAPE_TABLE * sizeof *self->shape_table);
}

void kernel_free(kernel *self) {
    if (!self) return;
    kernel_forget(self);
    for (int32_t index = 0; index < self->column_count; index++) {
        column *one = &self->columns[index];
        free(one->text.at);
        free(one->ends);
        free(one->hashes);
        free(one->table);
        free(one->codes);
    }
    free(self->columns);
    free(self->shapes);
    free(self->keys.at);
    free(self->key_texts);
    free(self->shape_table);
    free(self->values);
    free(self->first_value);
    free(self->scratch.at);
    free(self);
}

/* A new column; its number, or -1. */
int32_t kernel_column(kernel *self) {
    int64_t room = self->column_room;
    if (!grow((void **)&self->columns, &room, self->column_count + 1, sizeof *self->columns)) return -1;
    self->column_room = (int32_t)room;
    memset(&self->columns[self->column_count], 0, sizeof *self->columns);
    self->columns[self->column_count].seed = self->seed;
    return self->column_count++;
}

/* Texts from Python into a column: `ends` are their ends in `text`, `slots` where they go. */
int32_t kernel_insert(kernel *self, int32_t number, const uint8_t *text, const int64_t *ends, const int64_t *slots,
                      int64_t count, int64_t slots_in_all) {
    column *into = &self->columns[number];
    if (!reach(into, slots_in_all)) return 0;
    int64_t begin = 0;
    for (int64_t index = 0; index < count; index++) {
        if (slots[index] >= 0) {
            int32_t code = code_of(into, text + begin, ends[index] - begin);
            if (code < 0) return 0;
            into->codes[slots[index]] = code;
        }
        begin = ends[index];
    }
    return 1;
}

int32_t column_count(kernel *self, int32_t number) { return self->columns[number].count; }
int64_t column_bytes(kernel *self, int32_t number) { return self->columns[number].text.size; }
int32_t column_apart(kernel *self, int32_t number) { return self->columns[number].apart; }

/* Copy a column out and empty it: `ends` has room for count + 1, `codes` for `slots`. */
void column_take(kernel *self, int32_t number, uint8_t *text, int32_t *ends, int32_t *codes, int64_t slots) {
    column *from = &self->columns[number];
    if (from->text.size) memcpy(text, from->text.at, (size_t)from->text.size);
    ends[0] = 0;
    if (from->count) memcpy(ends + 1, from->ends, (size_t)from->count * sizeof *ends);
    int64_t known = slots < from->slots ? slots : from->slots;
    if (known) memcpy(codes, from->codes, (size_t)known * sizeof *codes);
    memset(codes + known, 0xFF, (size_t)(slots - known) * sizeof *codes);
    from->text.size = 0;
    from->count = 0;
    from->asked = from->apart = 0;
    if (from->table) memset(from->table, 0, ((size_t)from->mask + 1) * sizeof *from->table);
    if (from->slots) memset(from->codes, 0xFF, (size_t)from->slots * sizeof *from->codes);
}

/* ---- reading lines ---- */

static int continuation(const uint8_t *at) { return (*at & 0xC0) == 0x80; }

/* Length of the UTF-8 character at `at` (not ASCII), 0 if it is none. */
static int character(const uint8_t *at, const uint8_t *end) {
    int64_t left = end - at;
    uint8_t first = *at;
    if (first >= 0xC2 && first <= 0xDF) return left >= 2 && continuation(at + 1) ? 2 : 0;
    if (first >= 0xE0 && first <= 0xEF) {
        if (left < 3 || !continuation(at + 1) || !continuation(at + 2)) return 0;
        if (first == 0xE0 && at[1] < 0xA0) return 0;
        if (first == 0xED && at[1] > 0x9F) return 0;  /* surrogates */
        return 3;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        if (left < 4 || !continuation(at + 1) || !continuation(at + 2) || !continuation(at + 3)) return 0;
        if (first == 0xF0 && at[1] < 0x90) return 0;
        if (first == 0xF4 && at[1] > 0x8F) return 0;
        return 4;
    }
    return 0;
}

#define EACH(byte) (0x0101010101010101ULL * (byte))
#define ZERO_IN(word) (((word) - EACH(0x01)) & ~(word) & EACH(0x80))

static int hex_digit(uint8_t byte) {  /* only as orjson writes them */
    if (byte >= '0' && byte <= '9') return byte - '0';
    if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
    return -1;
}

/* The end of a string whose first character is at `at`: its closing quote, or NULL if it is not canonical. */
static const uint8_t *string_end(const uint8_t *at, const uint8_t *end, int *escaped) {
    while (at < end) {
#ifdef __SSE2__
        while (end - at >= 16) {  /* the same question to 16 bytes at once */
            __m128i bytes16 = _mm_loadu_si128((const __m128i *)at);
            __m128i quote16 = _mm_cmpeq_epi8(bytes16, _mm_set1_epi8('"'));
            __m128i slash16 = _mm_cmpeq_epi8(bytes16, _mm_set1_epi8('\\'));
            __m128i below16 = _mm_cmplt_epi8(bytes16, _mm_set1_epi8(0x20));  /* signed: 0x80 and above, too */
            int found = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote16, slash16), below16));
            if (found) {
                at += __builtin_ctz((unsigned)found);
                break;
            }
            at += 16;
        }
        if (at == end) return NULL;
#endif
        if (end - at >= 8) {
            uint64_t word;
            memcpy(&word, at, 8);
            uint64_t quote = word ^ EACH('"'), slash = word ^ EACH('\\');
            uint64_t below = (word - EACH(0x20)) & ~word & EACH(0x80);
            if (!((word & EACH(0x80)) | ZERO_IN(quote) | ZERO_IN(slash) | below)) {
                at += 8;
                continue;
            }
        }
        uint8_t byte = *at;
        if (byte == '"') return at;
        if (byte < 0x20) return NULL;
        if (byte == '\\') {
            if (end - at < 2) return NULL;
            *escaped = 1;
            switch (at[1]) {
            case '"': case '\\': case 'b': case 'f': case 'n': case 'r': case 't':
                at += 2;
                break;
            case 'u': {
                if (end - at < 6 || at[2] != '0' || at[3] != '0') return NULL;
                int high = hex_digit(at[4]), low = hex_digit(at[5]);
                if (high < 0 || low < 0) return NULL;
                int code = high * 16 + low;
                /* NUL, and what is written another way, is for the exact path */
                if (!code || code >= 0x20 || code == 8 || code == 9 || code == 10 || code == 12 || code == 13) return NULL;
                at += 6;
                break;
            }
            default:
                return NULL;
            }
        } else if (byte < 0x80) {
            at++;
        } else {
            int size = character(at, end);
            if (!size) return NULL;
            at += size;
        }
    }
    return NULL;
}

/* Whether an integer fits 64 bits, signed if it is negative: a larger one would be read as a float. */
static int fits(const uint8_t *digits, int64_t count, int minus) {
    const char *most = minus ? "9223372036854775808" : "18446744073709551615";
    int64_t longest = minus ? 19 : 20;
    return count < longest || (count == longest && memcmp(digits, most, (size_t)count) <= 0);
}

/* The end of an integer, true, false or null; NULL if there is none. */
static const uint8_t *plain_end(const uint8_t *at, const uint8_t *end, int *null) {
    *null = 0;
    int64_t left = end - at;
    if (left >= 4 && !memcmp(at, "null", 4)) {
        *null = 1;
        return at + 4;
    }
    if (left >= 4 && !memcmp(at, "true", 4)) return at + 4;
    if (left >= 5 && !memcmp(at, "false", 5)) return at + 5;
    int minus = left && *at == '-';
    const uint8_t *digits = at + minus;
    const uint8_t *here = digits;
    while (here < end && *here >= '0' && *here <= '9') here++;
    if (here == digits || !fits(digits, here - digits, minus)) return NULL;
    if (*digits == '0' && (here - digits > 1 || minus)) return NULL;
    return here;
}

/* The end of a flat array whose bracket is at `at`. */
static const uint8_t *array_end(const uint8_t *at, const uint8_t *end) {
    at++;
    if (at < end && *at == ']') return at + 1;
    while (at < end) {
        int unused;
        if (*at == '"') {
            at = string_end(at + 1, end, &unused);
            if (!at) return NULL;
            at++;
        } else if (!(at = plain_end(at, end, &unused))) {
            return NULL;
        }
        if (at >= end) return NULL;
        if (*at == ']') return at + 1;
        if (*at != ',') return NULL;
        at++;
    }
    return NULL;
}

static int same_key(const kernel *self, const shape *guess, int32_t place, const uint8_t *key, int64_t size) {
    const key_text *known = &self->key_texts[guess->first_key + place];
    return known->length == size && !memcmp(self->keys.at + known->start, key, (size_t)size);
}

/* The shape with these keys (their spans lie in `keys`), a new one if it is unknown; ODD if a key is there twice
 * or too many shapes are known. */
static int32_t shape_of(kernel *self, const uint8_t *content, const span *keys, int32_t fields) {
    uint64_t hash = (uint64_t)fields;
    for (int32_t place = 0; place < fields; place++)
        hash = mix(hash, hash_of(self->seed, content + keys[place].start, keys[place].length));
    uint32_t at = (uint32_t)hash & (SHAPE_TABLE - 1);
    for (; self->shape_table[at]; at = (at + 1) & (SHAPE_TABLE - 1)) {
        shape *known = &self->shapes[self->shape_table[at] - 1];
        if (known->hash != hash || known->fields != fields) continue;
        int32_t place = 0;
        while (place < fields && same_key(self, known, place, content + keys[place].start, keys[place].length)) place++;
        if (place == fields) return self->shape_table[at] - 1;
    }
    if (self->shape_count == MOST_SHAPES) return ODD;
    for (int32_t one = 0; one < fields; one++)
        for (int32_t other = one + 1; other < fields; other++)
            if (keys[one].length == keys[other].length
                && !memcmp(content + keys[one].start, content + keys[other].start, keys[one].length)) return ODD;
    int64_t room = self->key_room;
    if (!grow((void **)&self->key_texts, &room, self->key_count + fields, sizeof *self->key_texts)) return ODD;
    self->key_room = (int32_t)room;
    shape *made = &self->shapes[self->shape_count];
    made->fields = fields;
    made->hash = hash;
    made->first_key = self->key_count;
    for (int32_t place = 0; place < fields; place++) {
        key_text *text = &self->key_texts[self->key_count + place];
        if (self->keys.size + keys[place].length > INT32_MAX) return ODD;
        text->start = (uint32_t)self->keys.size;
        text->length = keys[place].length;
        if (!put(&self->keys, content + keys[place].start, keys[place].length)) return ODD;
    }
    self->key_count += fields;
    self->shape_table[at] = ++self->shape_count;
    return self->shape_count - 1;
}

/* One line into `self->values`; its shape, BLANK, or ODD with nothing added. */
static int32_t read_line(kernel *self, const uint8_t *content, int64_t start, int64_t length, int32_t likely) {
    const uint8_t *at = content + start, *end = at + length;
    span keys[MOST_FIELDS];
    int64_t begun = self->value_count;
    int32_t fields = 0;
    const shape *guess = likely >= 0 ? &self->shapes[likely] : NULL;
    if (!length) return BLANK;
    if (*at <= 32) {
        while (at < end && (*at == ' ' || (*at >= 9 && *at <= 13))) at++;
        return at == end ? BLANK : ODD;
    }
    if (*at != '{' || length > INT32_MAX >> (KIND_BITS + 1)) return ODD;
    at++;
    if (at < end && *at == '}') return ODD;  /* no fields: the exact path knows what that means */
    for (;;) {
        int escaped = 0, null = 0;
        if (end - at < 2 || *at != '"' || fields == MOST_FIELDS) goto odd;
        const uint8_t *key = ++at;
        if (!(at = string_end(at, end, &escaped)) || escaped) goto odd;
        keys[fields].start = (uint32_t)(key - content);
        keys[fields].length = (uint32_t)(at - key);
        if (guess && (fields >= guess->fields || !same_key(self, guess, fields, key, at - key))) guess = NULL;
        fields++;
        at++;
        if (end - at < 2 || *at != ':') goto odd;
        at++;
        const uint8_t *value = at;
        enum kind kind;
        if (*at == '"') {
            escaped = 0;
            value = ++at;
            if (!(at = string_end(at, end, &escaped))) goto odd;
            kind = escaped ? ESCAPED : TEXT;
        } else if (*at == '[') {
            if (!(at = array_end(at, end))) goto odd;
            kind = ARRAY;
        } else {
            if (!(at = plain_end(at, end, &null))) goto odd;
            kind = null ? NOTHING : PLAIN;
        }
        if (!grow((void **)&self->values, &self->value_room, self->value_count + 1, sizeof *self->values)) goto odd;
        self->values[self->value_count].start = (uint32_t)(value - content);
        self->values[self->value_count].length = (uint32_t)(at - value) << KIND_BITS | (uint32_t)kind;
        self->value_count++;
        if (kind == TEXT || kind == ESCAPED) at++;
        if (at >= end) goto odd;
        if (*at == '}') break;
        if (*at != ',') goto odd;
        at++;
    }
    if (at + 1 != end) goto odd;
    if (guess && guess->fields == fields) return likely;
    int32_t found = shape_of(self, content, keys, fields);
    if (found >= 0) return found;
odd:
    self->value_count = begun;
    return ODD;
}

/* Read the lines of a block.  `shapes` gets for each the number of its shape, BLANK or ODD.
 * Gives 0 when memory is at an end, 2 when the shapes known before were forgotten, else 1. */
int32_t kernel_read(kernel *self, const uint8_t *content, const int64_t *starts, const int64_t *lengths, int64_t lines,
                    int32_t *shapes) {
    int forgot = self->shape_count == MOST_SHAPES;
    if (forgot) kernel_forget(self);
    if (!grow((void **)&self->first_value, &self->line_room, lines, sizeof *self->first_value)) return 0;
    self->value_count = 0;
    int32_t likely = ODD;
    for (int64_t line = 0; line < lines; line++) {
        self->first_value[line] = self->value_count;
        shapes[line] = read_line(self, content, starts[line], lengths[line], likely);
        if (shapes[line] >= 0) likely = shapes[line];
    }
    return forgot ? 2 : 1;
}

int32_t kernel_shapes(kernel *self) { return self->shape_count; }
int32_t shape_fields(kernel *self, int32_t number) { return self->shapes[number].fields; }

/* Bytes that the keys of a shape take; they are copied to `into`, `ends` their ends, unless `into` is NULL. */
int64_t shape_keys(kernel *self, int32_t number, uint8_t *into, int64_t *ends) {
    const shape *one = &self->shapes[number];
    int64_t size = 0;
    for (int32_t place = 0; place < one->fields; place++) {
        const key_text *text = &self->key_texts[one->first_key + place];
        if (into) {
            memcpy(into + size, self->keys.at + text->start, text->length);
            ends[place] = size + text->length;
        }
        size += text->length;
    }
    return size;
}

static void *copy_of(const void *data, int64_t size) {
    void *made = malloc((size_t)(size ? size : 1));
    if (made && size) memcpy(made, data, (size_t)size);
    return made;
}

/* Say where the fields of a shape go.  `names` holds `"name":` of each field, as it stands in rest. */
int32_t kernel_plan(kernel *self, int32_t number, const int32_t *target, const int32_t *time_places, int32_t times,
                    int32_t time_column, int32_t rest_column, const uint8_t *names, const int32_t *name_ends) {
    shape *one = &self->shapes[number];
    one->target = copy_of(target, one->fields * (int64_t)sizeof *target);
    one->time_places = copy_of(time_places, times * (int64_t)sizeof *time_places);
    one->name_ends = copy_of(name_ends, one->fields * (int64_t)sizeof *name_ends);
    one->times = times;
    one->time_column = time_column;
    one->rest_column = rest_column;
    if (!one->target || !one->time_places || !one->name_ends) return 0;
    if (!put(&one->names, names, one->fields ? name_ends[one->fields - 1] : 0)) return 0;
    one->planned = 1;
    return 1;
}

/* ---- filling columns ---- */

/* A string of JSON without its quotes, as text at the end of `into`. */
static int unescape(bytes *into, const uint8_t *at, int64_t size) {
    if (!grow((void **)&into->at, &into->room, into->size + size + 1, 1)) return 0;
    uint8_t *to = into->at + into->size;
    const uint8_t *end = at + size;
    while (at < end) {
        const uint8_t *slash = memchr(at, '\\', (size_t)(end - at));
        if (!slash) slash = end;
        memcpy(to, at, (size_t)(slash - at));
        to += slash - at;
        at = slash;
        if (at == end) break;
        switch (at[1]) {
        case 'b': *to++ = 8; at += 2; break;
        case 'f': *to++ = 12; at += 2; break;
        case 'n': *to++ = 10; at += 2; break;
        case 'r': *to++ = 13; at += 2; break;
        case 't': *to++ = 9; at += 2; break;
        case 'u': *to++ = (uint8_t)(hex_digit(at[4]) * 16 + hex_digit(at[5])); at += 6; break;
        default: *to++ = at[1]; at += 2;
        }
    }
    into->size = to - into->at;
    return 1;
}

/* A flat array as one value a line. */
static int array_text(bytes *into, const uint8_t *at, int64_t size) {
    const uint8_t *end = at + size - 1;  /* the bracket */
    int first = 1;
    at++;
    while (at < end) {
        int unused;
        if (!first && !put(into, "\n", 1)) return 0;
        first = 0;
        if (*at == '"') {
            const uint8_t *close = string_end(at + 1, end, &unused);
            if (!unescape(into, at + 1, close - at - 1)) return 0;
            at = close + 1;
        } else {
            const uint8_t *close = plain_end(at, end, &unused);
            if (!unused && !put(into, at, close - at)) return 0;
            at = close;
        }
        at++;  /* the comma */
    }
    return 1;
}

static int fill(kernel *self, int32_t number, const uint8_t *content, span value, int64_t slot, int64_t slots) {
    column *into = &self->columns[number];
    const uint8_t *at = content + value.start;
    int64_t size = LENGTH(value);
    if (!reach(into, slots)) return 0;
    if (KIND(value) == ESCAPED || KIND(value) == ARRAY) {
        bytes *scratch = &self->scratch;
        scratch->size = 0;
        if (!put(scratch, "", 0)) return 0;
        if (!(KIND(value) == ARRAY ? array_text : unescape)(scratch, at, size)) return 0;
        at = scratch->at;
        size = scratch->size;
    }
    int32_t code = code_of(into, at, size);
    if (code < 0) return 0;
    into->codes[slot] = code;
    return 1;
}

/* One field of rest: strings and arrays as they stand, numbers and booleans as text. */
static int put_rest(bytes *into, const shape *plan, int32_t place, const uint8_t *content, span value) {
    int32_t begin = place ? plan->name_ends[place - 1] : 0;
    if (!put(into, into->size ? "," : "{", 1)) return 0;
    if (!put(into, plan->names.at + begin, plan->name_ends[place] - begin)) return 0;
    if (KIND(value) == ARRAY) return put(into, content + value.start, LENGTH(value));
    return put(into, "\"", 1) && put(into, content + value.start, LENGTH(value)) && put(into, "\"", 1);
}

/* Fill the columns from the lines last read whose shape has a plan; line n goes to slot `first_slot` + n. */
int32_t kernel_fill(kernel *self, const uint8_t *content, const int32_t *shapes, int64_t lines, int64_t first_slot) {
    int64_t slots = first_slot + lines;
    for (int64_t line = 0; line < lines; line++) {
        if (shapes[line] < 0) continue;
        const shape *plan = &self->shapes[shapes[line]];
        if (!plan->planned) continue;
        const span *values = self->values + self->first_value[line];
        int32_t time = -1;
        for (int32_t index = 0; index < plan->times && time < 0; index++)
            if (KIND(values[plan->time_places[index]]) != NOTHING) time = plan->time_places[index];
        if (time >= 0 && !fill(self, plan->time_column, content, values[time], first_slot + line, slots)) return 0;
        for (int32_t place = 0; place < plan->fields; place++)
            if (plan->target[place] >= 0 && KIND(values[place]) != NOTHING
                && !fill(self, plan->target[place], content, values[place], first_slot + line, slots)) return 0;
        bytes *rest = &self->scratch;
        rest->size = 0;
        for (int32_t place = 0; place < plan->fields; place++)
            if (plan->target[place] < 0 && place != time && KIND(values[place]) != NOTHING
                && !put_rest(rest, plan, place, content, values[place])) return 0;
        if (!rest->size) continue;
        if (!put(rest, "}", 1)) return 0;
        column *into = &self->columns[plan->rest_column];
        if (!reach(into, slots)) return 0;
        int32_t code = code_of(into, rest->at, rest->size);
        if (code < 0) return 0;
        into->codes[first_slot + line] = code;
    }
    return 1;
}
