// Runs the Unreal core without Unreal, for tests/e2e/test_client*.py.
//
//   probe golden STREAM.jsonl|STREAM.golden    decode a golden stream, print what it holds
//   probe sim SCRIPT                           play frames at made-up times, print the poses
//   probe axes                                 read rotations and positions, print them in Unreal's axes
//   probe garbage STREAM.golden ROUNDS         allocations of decoding and playing
//   probe live URL SUBPROTOCOL SECONDS         watch an engine and draw at 60 Hz until a caption says "stop"
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <new>
#include <sstream>
#include <thread>

#include "gesture/axes.hpp"
#include "gesture/stream.hpp"
#include "websocket.hpp"

static long allocations = 0;

[[gnu::noinline]] void* operator new(std::size_t size) {
    ++allocations;
    if (void* p = std::malloc(size)) return p;
    std::abort();
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace {

using namespace gesture;

const char* kStates[] = {"idle", "listening", "speaking"};
const char* kModes[] = {"rest", "live", "held"};

template <typename Numbers>
void print(std::ostream& out, const Numbers& values) {
    for (const float value : values) out << ' ' << value;
}

void print(std::ostream& out, const Frame& f) {
    out << "frame " << f.seq << ' ' << f.index << ' ' << f.sample << ' ' << kStates[static_cast<int>(f.state)] << ' '
        << f.reset << " root";
    print(out, f.root);
    out << " rotations";
    print(out, f.rotations);
    if (f.has_positions) {
        out << " positions";
        print(out, f.positions);
    }
    if (f.has_directions) {
        out << " directions";
        print(out, f.directions);
    }
    out << '\n';
}

template <typename List>
std::string joined(const List& list) {
    std::ostringstream out;
    for (std::size_t i = 0; i < list.size(); ++i) out << (i ? "," : "") << list[i];
    return out.str();
}

void print(std::ostream& out, const Hello& h) {
    out << "hello " << h.session << ' ' << h.fps << ' ' << joined(h.bones) << ' ' << joined(h.parents) << ' '
        << joined(h.joints) << ' ' << joined(h.directions) << ' ' << h.latency.visible << " rest";
    print(out, h.rest);
    out << '\n';
}

void print(std::ostream& out, const Event& e) {
    out << "event " << e.kind << ' ' << e.sample << ' ' << e.json << '\n';
}

struct Message {
    bool binary;
    std::string body;
};

std::vector<Message> messages(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string all((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const bool records = path.size() > 7 && path.compare(path.size() - 7, 7, ".golden") == 0;
    std::vector<Message> list;
    for (std::size_t at = 0; at < all.size();) {
        if (records) {
            const auto size = detail::little<std::uint32_t>(reinterpret_cast<const std::uint8_t*>(&all[at + 1]));
            list.push_back({all[at] == 2, all.substr(at + 5, size)});
            at += 5 + size;
        } else {
            const std::size_t end = all.find('\n', at);
            list.push_back({false, all.substr(at, end - at)});
            at = end + 1;
        }
    }
    return list;
}

int golden(const std::string& path) {
    Stream stream;
    stream.on_hello = [](const Hello& h) { print(std::cout, h); };
    stream.on_frame = [](const Frame& f, double) { print(std::cout, f); };
    stream.on_event = [](const Event& e) {
        print(std::cout, e);
        if (e.kind == "word") {
            std::cout << "word " << e.start << ' ' << e.end << ' ' << (e.final ? "True " : "False ") << e.text << '\n';
        }
        if (e.kind == "latency") std::cout << "latency " << e.latency.visible << '\n';
        if (e.kind == "warning") std::cout << "warning " << e.code << ' ' << e.message << '\n';
    };
    stream.connected();
    std::string reply;
    for (const Message& m : messages(path)) {
        const auto* data = reinterpret_cast<const std::uint8_t*>(m.body.data());
        const bool good = m.binary ? stream.binary(data, m.body.size(), 0, reply) : stream.text(m.body, 0, reply);
        Kind kind = Kind::Hello;
        if (!m.binary) kind_of(m.body, kind);
        if (kind == Kind::Error) std::cout << "error " << stream.problem() << '\n';
        if (kind == Kind::Other) std::cout << "other\n";
        if (!good) {
            std::cout << "refused " << stream.problem() << '\n';
            return 3;
        }
    }
    return 0;
}

// hello AT FPS BONES | frame AT SAMPLE RESET root(3) rotations(4 B) | update AT
int simulate(const std::string& path) {
    std::ifstream file(path);
    std::unique_ptr<Playback> playback;
    Frame frame;
    std::string line;
    while (std::getline(file, line)) {
        std::istringstream in(line);
        std::string what;
        double at = 0;
        in >> what >> at;
        if (what == "hello") {
            Hello hello;
            std::size_t bones = 0;
            in >> hello.fps >> bones;
            hello.bones.resize(bones);
            frame = Frame(hello.layout());
            playback = std::make_unique<Playback>(hello, at, playback.get());
        } else if (what == "frame") {
            in >> frame.sample >> frame.reset;
            for (float& v : frame.root) in >> v;
            for (float& v : frame.rotations) in >> v;
            if (!in) return 2;
            playback->push(frame, at);
        } else {
            playback->update(at);
            std::cout << playback->sample() << ' ' << playback->weight() << ' '
                      << kModes[static_cast<int>(playback->mode())] << ' ' << playback->clock().jitter();
            print(std::cout, playback->pose().root);
            print(std::cout, playback->pose().rotations);
            std::cout << '\n';
        }
    }
    return 0;
}

// Each line: a rotation (4) and a position (3); prints both for a mesh that faces +Y, then for +X.
int axes() {
    float v[7];
    while (std::cin >> v[0] >> v[1] >> v[2] >> v[3] >> v[4] >> v[5] >> v[6]) {
        for (const Facing facing : {Facing::Y, Facing::X}) {
            for (const double q : unreal_rotation(v, facing)) std::cout << q << ' ';
            for (const double p : unreal_position(v + 4, facing)) std::cout << p << ' ';
        }
        std::cout << '\n';
    }
    return 0;
}

int garbage(const std::string& path, int rounds) {
    const auto all = messages(path);
    Hello hello;
    if (decode_hello(all[0].body, hello) != nullptr) return 3;
    Frame frame(hello.layout());
    Playback playback(hello, 0);
    const auto* data = reinterpret_cast<const std::uint8_t*>(all[1].body.data());
    const auto run = [&](int from, int to) {
        for (int round = from; round < to; ++round) {
            const double at = round / 15.0;
            if (decode_frame(data, all[1].body.size(), hello.layout(), frame) != nullptr) std::abort();
            frame.sample = (100 + round) * 1067;
            playback.push(frame, at);
            for (int k = 0; k < 4; ++k) playback.update(at + k / 60.0);
        }
    };
    run(-100, 0);
    const long before = allocations;
    const auto start = std::chrono::steady_clock::now();
    run(0, rounds);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    std::cout << allocations - before << ' ' << rounds << ' ' << 1e6 * took.count() / rounds << '\n';
    return 0;
}

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int live(const std::string& url, const std::string& subprotocol, double seconds) {
    std::ostringstream out;
    out.precision(9);
    Stream stream;
    WebSocket socket;
    std::vector<double> arrivals;
    stream.on_hello = [&](const Hello& h) { print(out, h); };
    bool stop = false;
    stream.on_event = [&](const Event& e) {
        print(out, e);
        stop = stop || e.text == "stop";
    };
    stream.on_frame = [&](const Frame& f, double at) {
        print(out, f);
        arrivals.push_back(at);
    };
    const double start = now();
    double retry = start, shown = -1;
    int updates = 0, attempt = 0, held = 0, backwards = 0;
    const Playback* of = nullptr;
    Mode before = Mode::Rest;
    std::string reply;
    while (now() - start < seconds && !stop) {
        if (!socket.open() && now() >= retry) {
            if (is_final(socket.close_code()) || socket.close_code() == 1000) break;
            stream.connected();
            if (!socket.connect(url, subprotocol)) retry = now() + backoff(attempt++, 0.5);
        }
        const bool was_open = socket.open();
        socket.poll([&](bool is_text, std::string_view message) {
            const auto* data = reinterpret_cast<const std::uint8_t*>(message.data());
            const bool good = is_text ? stream.text(message, now(), reply)
                                      : stream.binary(data, message.size(), now(), reply);
            if (good && stream.hello() != nullptr) attempt = 0;
            if (!good) socket.close();
            if (!reply.empty()) socket.send_text(reply);
        });
        if (was_open && !socket.open()) retry = now() + backoff(attempt++, 0.5);
        ++updates;
        if (Playback* playback = stream.playback()) {
            playback->update(now());
            if (of == playback && before == Mode::Live && playback->sample() < shown) ++backwards;
            if (playback->mode() == Mode::Held) ++held;
            of = playback;
            before = playback->mode();
            shown = playback->sample();
        }
        std::this_thread::sleep_for(std::chrono::duration<double>(std::max(0.0, start + updates / 60.0 - now())));
    }
    double worst = 0;
    for (std::size_t i = 1; i < arrivals.size(); ++i) worst = std::max(worst, arrivals[i] - arrivals[i - 1]);
    std::cout << out.str() << "summary {\"problem\":" << quoted(stream.problem()) << ",\"frames\":" << stream.frames()
              << ",\"missed\":" << stream.missed() << ",\"dropped\":0,\"updates\":" << updates
              << ",\"held_updates\":" << held << ",\"backwards\":" << backwards
              << ",\"worst_gap_ms\":" << 1000 * worst
              << ",\"jitter_ms\":" << (of != nullptr ? 1000 * of->clock().jitter() : 0) << "}\n";
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    std::cout.precision(9);
    const std::vector<std::string> args(argv + 1, argv + argc);
    if (args.size() == 2 && args[0] == "golden") return golden(args[1]);
    if (args.size() == 2 && args[0] == "sim") {
        std::cout.precision(17);
        return simulate(args[1]);
    }
    if (args.size() == 1 && args[0] == "axes") return axes();
    if (args.size() == 3 && args[0] == "garbage") return garbage(args[1], std::stoi(args[2]));
    if (args.size() == 4 && args[0] == "live") return live(args[1], args[2], std::stod(args[3]));
    std::cerr << "usage: see the head of probe.cpp\n";
    return 2;
}
