// One connection's messages in, replies and poses out; whoever owns the socket calls it.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "playback.hpp"
#include "protocol.hpp"

namespace gesture {

// Seconds before the next attempt to connect: doubles from 0.4 to 5; chance is 0 to 1.
inline double backoff(int attempt, double chance) {
    return std::min(5.0, 0.4 * static_cast<double>(1 << std::min(attempt, 8))) * (0.75 + 0.5 * chance);
}

// Whether trying again after this close code would meet the same answer.
inline bool is_final(int close_code) {
    return close_code == 4400 || close_code == 4401 || close_code == 4413 || close_code == 4429;
}

// Notices an engine that has vanished without a word: it answers pings, so silence is death.
class Heartbeat {
public:
    void start(double now) { heard_ = pinged_ = now; }
    void heard(double now) { heard_ = now; }
    bool dead(double now) const { return now - heard_ > 12; }

    // Whether a ping must be sent now.
    bool due(double now) {
        if (now - pinged_ < 4) return false;
        pinged_ = now;
        ++count_;
        return true;
    }

    std::uint32_t count() const { return count_; }

private:
    double heard_ = 0;
    double pinged_ = 0;
    std::uint32_t count_ = 0;
};

// Keeps its playback from connection to connection, so that a restart is blended over. One thread's.
class Stream {
public:
    std::function<void(const Hello&)> on_hello;
    std::function<void(const Frame&, double)> on_frame;
    std::function<void(const Event&)> on_event;

    // Null before the first hello.
    const Hello* hello() const { return hello_.get(); }
    Playback* playback() { return playback_.get(); }

    // Frames that came, and frames that the engine replaced because we were slow.
    int frames() const { return frames_; }
    int missed() const { return missed_; }

    // What went wrong last, empty if nothing.
    const std::string& problem() const { return problem_; }

    // A connection has been opened: the next message is a hello.
    void connected() {
        greeted_ = false;
        last_seq_ = -1;
    }

    // Take a text message; false if it breaks the protocol. A reply must be sent if not empty.
    bool text(std::string_view message, double at, std::string& reply) {
        reply.clear();
        Kind kind = Kind::Other;
        if (!check(kind_of(message, kind))) return false;
        switch (kind) {
            case Kind::Hello: return begin(message, at);
            case Kind::Frame:
                if (!greeted_) return check("a frame came before the hello");
                return check(decode_frame(message, frame_)) && take(at, reply);
            case Kind::Event: {
                Event event;
                if (!check(decode_event(message, event))) return false;
                if (on_event) on_event(event);
                return true;
            }
            case Kind::Error: problem_ = error_message(message); return true;
            case Kind::Other: return true;
        }
        return true;
    }

    // Take a binary message; as `text`.
    bool binary(const std::uint8_t* data, std::size_t size, double at, std::string& reply) {
        reply.clear();
        if (!greeted_) return check("a frame came before the hello");
        return check(decode_frame(data, size, hello_->layout(), frame_)) && take(at, reply);
    }

private:
    bool check(Failure error) {
        if (error != nullptr) problem_ = error;
        return error == nullptr;
    }

    bool begin(std::string_view message, double at) {
        auto hello = std::make_unique<Hello>();
        if (!check(decode_hello(message, *hello))) return false;
        hello_ = std::move(hello);
        frame_ = Frame(hello_->layout());
        playback_ = std::make_unique<Playback>(*hello_, at, playback_.get());
        greeted_ = true;
        problem_.clear();
        if (on_hello) on_hello(*hello_);
        return true;
    }

    bool take(double at, std::string& reply) {
        const auto seq = static_cast<std::int64_t>(frame_.seq);
        if (last_seq_ >= 0 && seq > last_seq_ + 1) missed_ += static_cast<int>(seq - last_seq_ - 1);
        last_seq_ = seq;
        ++frames_;
        playback_->push(frame_, at);
        if (on_frame) on_frame(frame_, at);
        reply = ack(frame_.seq);
        return true;
    }

    std::unique_ptr<Hello> hello_;
    std::unique_ptr<Playback> playback_;
    Frame frame_;
    std::string problem_;
    std::int64_t last_seq_ = -1;
    int frames_ = 0;
    int missed_ = 0;
    bool greeted_ = false;
};

}  // namespace gesture
