// The protocol gesture.v1 (clients/PROTOCOL.md): hello, frames, events, and what a client says.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "json.hpp"

namespace gesture {

inline constexpr std::string_view kProtocol = "gesture.v1";
inline constexpr std::string_view kBinarySubprotocol = "gesture.v1.bin";
inline constexpr std::string_view kJsonSubprotocol = "gesture.v1.json";
inline constexpr double kSampleRate = 16000;
inline constexpr std::int64_t kMaxSample = std::int64_t{1} << 53;
inline constexpr std::size_t kMaxBones = 1024;
inline constexpr std::size_t kMaxMessageBytes = 1 << 20;

// Null for success, else one line that says what is wrong. Nothing here throws.
using Failure = const char*;

enum class VoiceState : std::uint8_t { Idle, Listening, Speaking };

struct Layout {
    std::size_t bones = 0;
    std::size_t joints = 0;
    std::size_t directions = 0;
};

struct Latency {
    double algorithmic = 0;
    double compute = 0;
    double mic_to_wire = 0;
    double visible = 0;  // how long the motion lags the voice on screen: delay the voice by as much

    // A hello says "compute", a latency event "compute_ms".
    bool take(JsonReader& json) {
        if (json.key_is("algorithmic") || json.key_is("algorithmic_ms")) algorithmic = json.number();
        else if (json.key_is("compute") || json.key_is("compute_ms")) compute = json.number();
        else if (json.key_is("mic_to_wire") || json.key_is("mic_to_wire_ms")) mic_to_wire = json.number();
        else if (json.key_is("visible") || json.key_is("visible_ms")) visible = json.number();
        else return false;
        return true;
    }
};

// The header of a stream: all names and rests, sent once before frames.
struct Hello {
    std::string session;
    std::string version;
    std::string model;
    std::string backend;
    double fps = 0;
    int lookahead = 0;
    std::vector<std::string> bones;  // VRM 1.0 names, parents first
    std::vector<int> parents;        // -1 for the hips
    std::vector<float> rest;         // x, y, z offset of each bone from its parent, metres
    std::vector<std::string> joints;
    std::vector<std::string> directions;
    Latency latency;

    Layout layout() const { return {bones.size(), joints.size(), directions.size()}; }
};

// One pose on the wire, in VRM 1.0 axes; reused, so that nothing is allocated per frame.
struct Frame {
    std::uint32_t seq = 0;
    std::uint32_t index = 0;
    std::int64_t sample = 0;
    VoiceState state = VoiceState::Idle;
    bool reset = false;
    bool has_positions = false;
    bool has_directions = false;
    std::array<float, 3> root{};   // offset of the hips from rest, metres
    std::vector<float> rotations;  // x, y, z, w of every bone
    std::vector<float> positions;
    std::vector<float> directions;

    Frame() = default;
    explicit Frame(const Layout& layout)
        : rotations(4 * layout.bones), positions(3 * layout.joints), directions(3 * layout.directions) {
        for (std::size_t i = 3; i < rotations.size(); i += 4) rotations[i] = 1;
    }
};

enum class Kind : std::uint8_t { Hello, Frame, Event, Error, Other };

// Something that is not a pose: a word, a caption, a reset, statistics.
struct Event {
    std::string kind;
    std::int64_t sample = 0;
    std::string text;        // of words and captions
    std::int64_t start = 0;  // of words, samples
    std::int64_t end = 0;
    bool final = true;
    std::string message;  // of warnings; the reason of resets
    std::string code;
    Latency latency;
    std::string_view json;  // the whole event, as long as the message lives
};

// What a text message is; unknown types are Other, so that newer engines work.
inline Failure kind_of(std::string_view text, Kind& kind) {
    JsonReader json(text);
    json.begin_object();
    while (json.next_key()) {
        if (!json.key_is("type")) {
            json.skip();
            continue;
        }
        const std::string_view type = json.string_view();
        kind = type == "frame"   ? Kind::Frame
               : type == "event" ? Kind::Event
               : type == "hello" ? Kind::Hello
               : type == "error" ? Kind::Error
                                 : Kind::Other;
        return json.error();
    }
    return json.ok() ? "message without a type" : json.error();
}

inline Failure decode_hello(std::string_view text, Hello& hello) {
    JsonReader json(text);
    JsonReader rest;
    std::string protocol, coordinates, rotation;
    json.begin_object();
    while (json.next_key()) {
        if (json.key_is("protocol")) protocol = json.string();
        else if (json.key_is("session")) hello.session = json.string();
        else if (json.key_is("version")) hello.version = json.string();
        else if (json.key_is("model")) hello.model = json.string();
        else if (json.key_is("backend")) hello.backend = json.string();
        else if (json.key_is("fps")) hello.fps = json.number();
        else if (json.key_is("lookahead")) hello.lookahead = static_cast<int>(json.count(1 << 20));
        else if (json.key_is("coordinates")) coordinates = json.string();
        else if (json.key_is("rotation")) rotation = json.string();
        else if (json.key_is("bones")) hello.bones = json.strings(kMaxBones);
        else if (json.key_is("joints")) hello.joints = json.strings(kMaxBones);
        else if (json.key_is("directions")) hello.directions = json.strings(kMaxBones);
        else if (json.key_is("parents")) {
            hello.parents.clear();
            json.begin_array();
            while (json.next_item()) {
                const double parent = json.number();
                const auto index = static_cast<double>(hello.parents.size());
                if (hello.parents.size() == kMaxBones || !(parent >= -1 && parent < index)) {
                    return "hello: a bone has no parent before it";
                }
                hello.parents.push_back(static_cast<int>(parent));
            }
        } else if (json.key_is("rest")) {
            rest = json;  // its length is known once the bones are
            json.skip();
        } else if (json.key_is("latency_ms")) {
            json.begin_object();
            while (json.next_key()) {
                if (!hello.latency.take(json)) json.skip();
            }
        } else {
            json.skip();
        }
    }
    if (!json.ok()) return json.error();
    if (protocol != kProtocol) return "the engine speaks another protocol than gesture.v1; update the older one";
    if (coordinates != "vrm1" || rotation != "normalized_local_xyzw") return "hello: unknown axes or rotations";
    if (!(hello.fps > 0) || hello.bones.empty() || hello.parents.size() != hello.bones.size()) {
        return "hello without fps, or with bones and parents that do not fit";
    }
    hello.rest.assign(3 * hello.bones.size(), 0);
    rest.floats(hello.rest.data(), hello.rest.size());
    return rest.error();
}

inline Failure decode_event(std::string_view text, Event& event) {
    JsonReader json(text);
    event = Event{};
    event.json = text;
    json.begin_object();
    while (json.next_key()) {
        const bool words = json.is_string();
        if (json.key_is("event")) event.kind = json.string();
        else if (json.key_is("sample")) event.sample = json.count(kMaxSample);
        else if (json.key_is("text") && words) event.text = json.string();
        else if (json.key_is("start") && !words) event.start = json.count(kMaxSample);
        else if (json.key_is("end") && !words) event.end = json.count(kMaxSample);
        else if (json.key_is("final")) event.final = json.boolean();
        else if ((json.key_is("message") || json.key_is("reason")) && words) event.message = json.string();
        else if (json.key_is("code") && words) event.code = json.string();
        else if (words || !event.latency.take(json)) json.skip();
    }
    return json.error();
}

inline std::string error_message(std::string_view text) {
    JsonReader json(text);
    json.begin_object();
    while (json.next_key()) {
        if (json.key_is("message")) return json.string();
        json.skip();
    }
    return {};
}

namespace detail {

template <typename T>
T little(const std::uint8_t* at) {
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(at[i]) << (8 * i);
    return value;
}

// Every machine that Unreal runs on is little-endian, so floats are copied as they lie.
inline bool copy_floats(const std::uint8_t*& at, float* into, std::size_t count) {
    std::memcpy(into, at, 4 * count);
    at += 4 * count;
    for (std::size_t i = 0; i < count; ++i) {
        if (!std::isfinite(into[i])) return false;
    }
    return true;
}

}  // namespace detail

// Read a binary frame; `into` was made for the layout.
inline Failure decode_frame(const std::uint8_t* data, std::size_t size, const Layout& layout, Frame& into) {
    constexpr std::size_t header = 36;
    if (size < header) return "binary frame is shorter than its header";
    if (std::memcmp(data, "GSTF", 4) != 0 || data[4] != 1) return "binary message is no GSTF 1 frame";
    const std::uint8_t flags = data[5];
    if (data[6] > 2) return "frame has an unknown voice state";
    into.has_positions = (flags & 2) != 0;
    into.has_directions = (flags & 4) != 0;
    const std::size_t positions = into.has_positions ? 3 * layout.joints : 0;
    const std::size_t directions = into.has_directions ? 3 * layout.directions : 0;
    if (size != header + 4 * (4 * layout.bones + positions + directions)) {
        return "frame has another length than its flags and the hello say";
    }
    const auto sample = detail::little<std::uint64_t>(data + 16);
    if (sample > static_cast<std::uint64_t>(kMaxSample)) return "frame has an impossible sample";
    into.reset = (flags & 1) != 0;
    into.state = static_cast<VoiceState>(data[6]);
    into.seq = detail::little<std::uint32_t>(data + 8);
    into.index = detail::little<std::uint32_t>(data + 12);
    into.sample = static_cast<std::int64_t>(sample);
    const std::uint8_t* at = data + 24;
    const bool finite = detail::copy_floats(at, into.root.data(), 3) &&
                        detail::copy_floats(at, into.rotations.data(), 4 * layout.bones) &&
                        detail::copy_floats(at, into.positions.data(), positions) &&
                        detail::copy_floats(at, into.directions.data(), directions);
    return finite ? nullptr : "frame is not finite";
}

// Read a JSON frame; `into` was made for the layout of the hello.
inline Failure decode_frame(std::string_view text, Frame& into) {
    enum : unsigned { seq = 1, index = 2, sample = 4, state = 8, reset = 16, root = 32, rotations = 64 };
    JsonReader json(text);
    unsigned found = 0;
    into.has_positions = into.has_directions = false;
    json.begin_object();
    while (json.next_key()) {
        if (json.key_is("seq")) into.seq = static_cast<std::uint32_t>(json.count(0xFFFFFFFF)), found |= seq;
        else if (json.key_is("index")) into.index = static_cast<std::uint32_t>(json.count(0xFFFFFFFF)), found |= index;
        else if (json.key_is("sample")) into.sample = json.count(kMaxSample), found |= sample;
        else if (json.key_is("reset")) into.reset = json.boolean(), found |= reset;
        else if (json.key_is("state")) {
            const std::string_view name = json.string_view();
            if (name == "idle") into.state = VoiceState::Idle;
            else if (name == "listening") into.state = VoiceState::Listening;
            else if (name == "speaking") into.state = VoiceState::Speaking;
            else return "frame has an unknown voice state";
            found |= state;
        } else if (json.key_is("root")) json.floats(into.root.data(), 3), found |= root;
        else if (json.key_is("rotations")) json.floats(into.rotations.data(), into.rotations.size()), found |= rotations;
        else if (json.key_is("positions")) json.floats(into.positions.data(), into.positions.size()), into.has_positions = true;
        else if (json.key_is("directions")) json.floats(into.directions.data(), into.directions.size()), into.has_directions = true;
        else json.skip();
    }
    json.end();
    if (!json.ok()) return json.error();
    return found == 127 ? nullptr : "frame lacks a field";
}

// What a client says. `ack` after every frame.
inline std::string ack(std::uint32_t seq) { return "{\"type\":\"ack\",\"seq\":" + std::to_string(seq) + "}"; }

inline std::string ping(std::uint32_t id) { return "{\"type\":\"ping\",\"id\":" + std::to_string(id) + "}"; }

inline std::string quoted(std::string_view text) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        if (static_cast<unsigned char>(c) >= 0x20) out += c;
        else out += std::string("\\u00") + digits[c >> 4] + digits[c & 15];
    }
    return out + '"';
}

// The first message where a token is needed, or for a session of one's own.
inline std::string client_hello(std::string_view token) {
    return std::string("{\"type\":\"hello\",\"protocol\":\"gesture.v1\",\"options\":{}") +
           (token.empty() ? "" : ",\"token\":" + quoted(token)) + "}";
}

}  // namespace gesture
