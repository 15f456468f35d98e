// Reads JSON from UTF-8 bytes, value by value: no exceptions, no tree, no memory but what is asked for.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace gesture {

// After the first error every call returns a default and `ok()` stays false.
class JsonReader {
public:
    explicit JsonReader(std::string_view text = {}) : data_(text) {}

    bool ok() const { return error_ == nullptr; }

    // Why the text is not as expected; null while it is.
    const char* error() const { return error_; }

    void fail(const char* why) {
        if (ok()) error_ = why;
    }

    void begin_object() { expect('{'); }

    // Go to the next key of the object entered last; its value is read next.
    bool next_key() {
        if (!next_entry('{', '}')) return false;
        key_ = raw_string();
        expect(':');
        return ok();
    }

    bool key_is(std::string_view name) const { return key_ == name; }

    void begin_array() { expect('['); }

    bool next_item() { return next_entry('[', ']'); }

    // A finite number, correctly rounded for up to 15 digits.
    double number() {
        skip_space();
        const bool negative = peek_raw() == '-';
        if (negative) ++at_;
        std::int64_t mantissa = 0;
        int digits = 0, significant = 0, exponent = 0;
        const auto take = [&](int scale) {
            ++digits;
            const int value = data_[at_++] - '0';
            if (significant > 0 || value > 0) ++significant;
            if (significant <= 18) {
                mantissa = 10 * mantissa + value;
                exponent -= scale;
            } else {
                exponent += 1 - scale;  // beyond what a double holds
            }
        };
        while (is_digit()) take(0);
        if (digits == 0) return broken("expected a number");
        if (peek_raw() == '.') {
            ++at_;
            const int before = digits;
            while (is_digit()) take(1);
            if (digits == before) return broken("expected digits after the point");
        }
        if (peek_raw() == 'e' || peek_raw() == 'E') exponent += exponent_part();
        const double value = scaled(mantissa, exponent);
        if (!std::isfinite(value)) return broken("number is too large");
        return negative ? -value : value;
    }

    std::int64_t count(std::int64_t most) {
        const double value = number();
        if (!(value >= 0) || value > static_cast<double>(most) || value != std::floor(value)) {
            fail("expected a count");
            return 0;
        }
        return static_cast<std::int64_t>(value);
    }

    bool boolean() {
        skip_space();
        if (literal("true")) return true;
        if (!literal("false")) fail("expected true or false");
        return false;
    }

    std::string string() {
        skip_space();
        return unescaped(raw_string());
    }

    // A string as it stands in the text, escapes and all; no memory.
    std::string_view string_view() {
        skip_space();
        return raw_string();
    }

    bool is_string() {
        skip_space();
        return peek_raw() == '"';
    }

    std::vector<std::string> strings(std::size_t most) {
        std::vector<std::string> list;
        begin_array();
        while (next_item()) {
            if (list.size() == most) fail("array is too long");
            list.push_back(string());
        }
        return list;
    }

    // An array of exactly as many numbers as `into` has.
    void floats(float* into, std::size_t size) {
        std::size_t n = 0;
        begin_array();
        while (next_item()) {
            if (n == size) return fail("array is too long");
            into[n] = static_cast<float>(number());
            if (!std::isfinite(into[n])) return fail("number is too large");
            ++n;
        }
        if (n != size) fail("array is too short");
    }

    // Read over any value; returns its text.
    std::string_view skip() {
        skip_space();
        const std::size_t start = at_;
        skip(0);
        return data_.substr(start, at_ - start);
    }

    void end() {
        skip_space();
        if (at_ != data_.size()) fail("text after the message");
    }

private:
    static constexpr int kMaxDepth = 32;

    double broken(const char* why) {
        fail(why);
        return 0;
    }

    char peek_raw() const { return ok() && at_ < data_.size() ? data_[at_] : '\0'; }

    bool is_digit() const { return peek_raw() >= '0' && peek_raw() <= '9'; }

    static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

    void skip_space() {
        while (is_space(peek_raw())) ++at_;
    }

    void expect(char c) {
        skip_space();
        if (peek_raw() != c) return fail("a bracket, colon or quote is missing");
        ++at_;
    }

    bool literal(std::string_view word) {
        if (!ok() || data_.substr(at_, word.size()) != word) return false;
        at_ += word.size();
        return true;
    }

    bool next_entry(char open, char close) {
        skip_space();
        if (!ok() || at_ >= data_.size()) {
            fail("ends too early");
            return false;
        }
        if (data_[at_] == close) {
            ++at_;
            return false;
        }
        std::size_t before = at_ - 1;  // no entry has been read since the bracket; space may stand between
        while (before > 0 && is_space(data_[before])) --before;
        if (data_[before] != open) expect(',');
        skip_space();
        return ok();
    }

    std::string_view raw_string() {
        if (peek_raw() != '"') {
            fail("expected a string");
            return {};
        }
        const std::size_t start = ++at_;
        while (at_ < data_.size() && data_[at_] != '"') at_ += data_[at_] == '\\' ? 2 : 1;
        if (at_ >= data_.size()) {
            fail("string without end");
            return {};
        }
        return data_.substr(start, at_++ - start);
    }

    int exponent_part() {
        ++at_;
        const bool negative = peek_raw() == '-';
        if (peek_raw() == '-' || peek_raw() == '+') ++at_;
        int value = 0, digits = 0;
        for (; is_digit(); ++digits) {
            value = 10 * value + (data_[at_++] - '0');
            if (value > 9999) value = 9999;
        }
        if (digits == 0) fail("expected an exponent");
        return negative ? -value : value;
    }

    static double scaled(std::int64_t mantissa, int exponent) {
        if (mantissa == 0) return 0;
        if (exponent > 310) return INFINITY;
        double value = static_cast<double>(mantissa);
        for (; exponent < -22 && value != 0; exponent += 22) value /= 1e22;
        for (; exponent > 22; exponent -= 22) value *= 1e22;
        double power = 1;
        for (int i = exponent < 0 ? -exponent : exponent; i > 0 && value != 0; --i) power *= 10;  // exact up to 1e22
        return exponent < 0 ? value / power : value * power;
    }

    std::string unescaped(std::string_view raw) {
        std::string text;
        text.reserve(raw.size());
        for (std::size_t i = 0; i < raw.size(); ++i) {
            if (raw[i] != '\\') {
                text.push_back(raw[i]);
                continue;
            }
            switch (raw[++i]) {
                case 'b': text.push_back('\b'); break;
                case 'f': text.push_back('\f'); break;
                case 'n': text.push_back('\n'); break;
                case 'r': text.push_back('\r'); break;
                case 't': text.push_back('\t'); break;
                case 'u': {
                    std::uint32_t code = hex(raw, i + 1);
                    i += 4;
                    const bool high = code >= 0xD800 && code < 0xDC00;
                    if (high && i + 2 < raw.size() && raw[i + 1] == '\\' && raw[i + 2] == 'u') {
                        code = 0x10000 + ((code - 0xD800) << 10) + (hex(raw, i + 3) - 0xDC00);
                        i += 6;
                    }
                    append(text, code);
                    break;
                }
                default: text.push_back(raw[i]); break;  // a quote, a slash
            }
        }
        return text;
    }

    std::uint32_t hex(std::string_view raw, std::size_t at) {
        std::uint32_t code = 0;
        for (std::size_t i = at; i < at + 4; ++i) {
            const char c = i < raw.size() ? raw[i] : '\0';
            const char lower = static_cast<char>(c | 0x20);
            if (c >= '0' && c <= '9') code = 16 * code + static_cast<std::uint32_t>(c - '0');
            else if (lower >= 'a' && lower <= 'f') code = 16 * code + static_cast<std::uint32_t>(lower - 'a' + 10);
            else fail("broken escape");
        }
        return code;
    }

    static void append(std::string& text, std::uint32_t code) {
        const auto byte = [&](std::uint32_t value) { text.push_back(static_cast<char>(value)); };
        if (code < 0x80) return byte(code);
        if (code < 0x800) return byte(0xC0 | code >> 6), byte(0x80 | (code & 63));
        if (code < 0x10000) {
            return byte(0xE0 | code >> 12), byte(0x80 | (code >> 6 & 63)), byte(0x80 | (code & 63));
        }
        byte(0xF0 | (code >> 18 & 7)), byte(0x80 | (code >> 12 & 63));
        byte(0x80 | (code >> 6 & 63)), byte(0x80 | (code & 63));
    }

    void skip(int depth) {
        skip_space();
        if (depth > kMaxDepth) return fail("nested too deeply");
        switch (peek_raw()) {
            case '{':
                begin_object();
                while (next_key()) skip(depth + 1);
                break;
            case '[':
                begin_array();
                while (next_item()) skip(depth + 1);
                break;
            case '"': raw_string(); break;
            case 't':
            case 'f': boolean(); break;
            case 'n':
                if (!literal("null")) fail("unknown value");
                break;
            default: number(); break;
        }
    }

    std::string_view data_;
    std::size_t at_ = 0;
    std::string_view key_;
    const char* error_ = nullptr;
};

}  // namespace gesture
