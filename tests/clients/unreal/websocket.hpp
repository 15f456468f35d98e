// A small WebSocket client over POSIX sockets, for the tests alone: Unreal brings its own.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

class WebSocket {
public:
    ~WebSocket() { close(); }

    bool open() const { return fd_ >= 0; }
    int close_code() const { return code_; }

    // url: ws://127.0.0.1:PORT/path. The server's key is not checked: it is our own.
    bool connect(const std::string& url, std::string_view subprotocol) {
        close();
        code_ = 1006;
        const std::size_t host = 5, colon = url.find(':', host), slash = url.find('/', host);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(url.substr(colon + 1))));
        if (inet_pton(AF_INET, url.substr(host, colon - host).c_str(), &address.sin_addr) != 1) return false;
        fd_ = socket(AF_INET, SOCK_STREAM, 0);
        int one = 1;
        setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return drop();
        const std::string request = "GET " + url.substr(slash) + " HTTP/1.1\r\nHost: " +
                                    url.substr(host, slash - host) +
                                    "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                                    "Sec-WebSocket-Protocol: " +
                                    std::string(subprotocol) + "\r\n\r\n";
        if (!write_all(request)) return drop();
        std::string answer;
        char c = 0;
        while (answer.find("\r\n\r\n") == std::string::npos) {
            if (recv(fd_, &c, 1, 0) != 1) return drop();
            answer += c;
        }
        if (answer.compare(0, 12, "HTTP/1.1 101") != 0) return drop();
        fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);
        in_.clear();
        return true;
    }

    // Take what has come and call take(is_text, message) for each; never waits.
    template <typename Take>
    void poll(Take take) {
        std::uint8_t chunk[65536];
        while (fd_ >= 0) {
            const ssize_t got = recv(fd_, chunk, sizeof chunk, 0);
            if (got > 0) in_.insert(in_.end(), chunk, chunk + got);
            if (got == 0) drop();
            if (got <= 0) break;
        }
        std::size_t at = 0;
        while (in_.size() - at >= 2) {
            const int opcode = in_[at] & 15;
            std::uint64_t size = in_[at + 1] & 127;
            std::size_t header = 2;
            const std::size_t extended = size == 126 ? 2 : size == 127 ? 8 : 0;
            if (in_.size() - at < header + extended) break;
            if (extended > 0) size = 0;
            for (std::size_t i = 0; i < extended; ++i) size = size << 8 | in_[at + header + i];
            header += extended;
            if (in_.size() - at < header + size) break;
            const std::uint8_t* body = in_.data() + at + header;
            at += header + size;
            if (opcode == 8) {
                if (size >= 2) code_ = body[0] << 8 | body[1];
                send(8, std::string_view(reinterpret_cast<const char*>(body), size < 2 ? 0 : 2));
                drop();
            } else if (opcode == 9) {
                send(10, std::string_view(reinterpret_cast<const char*>(body), size));
            } else if (opcode == 1 || opcode == 2) {
                take(opcode == 1, std::string_view(reinterpret_cast<const char*>(body), size));
            }
        }
        in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(at));
    }

    bool send_text(std::string_view text) { return send(1, text); }

    void close() { drop(); }

private:
    bool send(int opcode, std::string_view body) {
        if (fd_ < 0) return false;
        std::string out;
        out += static_cast<char>(0x80 | opcode);
        if (body.size() < 126) {
            out += static_cast<char>(0x80 | body.size());
        } else {
            out += static_cast<char>(0x80 | 126);
            out += static_cast<char>(body.size() >> 8);
            out += static_cast<char>(body.size());
        }
        out.append(4, '\0');  // the mask of zeros leaves the body as it is
        out += body;
        return write_all(out);
    }

    bool write_all(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent > 0) {
                bytes.remove_prefix(static_cast<std::size_t>(sent));
                continue;
            }
            pollfd wait{fd_, POLLOUT, 0};
            if (::poll(&wait, 1, 1000) <= 0) return false;
        }
        return true;
    }

    bool drop() {
        if (fd_ >= 0) ::close(fd_);
        fd_ = -1;
        return false;
    }

    int fd_ = -1;
    int code_ = 1006;
    std::vector<std::uint8_t> in_;
};
