// Runs the Live Link source on stand-ins: live_link STREAM.golden; prints what it pushed.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>

#include "GestureLiveLinkSource.h"
#include "GestureLiveLinkSourceFactory.h"
#include "gesture/protocol.hpp"
#include "unreal.h"

double FPlatformTime::now = 100;

namespace {

class Client : public ILiveLinkClient
{
public:
    void PushSubjectStaticData_AnyThread(const FLiveLinkSubjectKey& key, UClass*, FLiveLinkStaticDataStruct&& pushed) override
    {
        std::cout << "static " << key.SubjectName.name;
        for (std::size_t i = 0; i < pushed.data.BoneNames.size(); ++i) {
            std::cout << ' ' << pushed.data.BoneNames[i].name << ' ' << pushed.data.BoneParents[i];
        }
        std::cout << '\n';
    }

    void PushSubjectFrameData_AnyThread(const FLiveLinkSubjectKey&, FLiveLinkFrameDataStruct&& pushed) override
    {
        std::cout << "pose " << pushed.data.WorldTime.Time << ' ' << pushed.data.PropertyValues[0];
        for (const FTransform& t : pushed.data.Transforms) {
            std::cout << ' ' << t.Rotation.X << ' ' << t.Rotation.Y << ' ' << t.Rotation.Z << ' ' << t.Rotation.W << ' '
                      << t.Translation.X << ' ' << t.Translation.Y << ' ' << t.Translation.Z;
        }
        std::cout << '\n';
    }
};

}  // namespace

int main(int, char** argv)
{
    std::cout.precision(9);
    std::ifstream file(argv[1], std::ios::binary);
    const std::string all((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    Client client;
    const TSharedPtr<ILiveLinkSource> source = UGestureLiveLinkSourceFactory().CreateSource("");
    source->ReceiveClient(&client, FGuid());
    FWebSocketsModule& sockets = FWebSocketsModule::Get();
    std::cout << "socket " << sockets.last_url << ' ' << sockets.last_protocol << '\n';
    const TSharedPtr<IWebSocket> socket = sockets.last;
    for (std::size_t at = 0; at < all.size();) {
        const auto size = gesture::detail::little<std::uint32_t>(reinterpret_cast<const std::uint8_t*>(&all[at + 1]));
        const std::string body = all.substr(at + 5, size);
        if (all[at] == 1) {
            socket->OnMessage().Broadcast(body.c_str());
        } else {  // in two fragments, as large messages come
            socket->OnBinaryMessage().Broadcast(body.data(), 100, false);
            socket->OnBinaryMessage().Broadcast(body.data() + 100, size - 100, true);
        }
        at += 5 + size;
        FPlatformTime::now += 0.05;
        source->Update();
    }
    FPlatformTime::now += 4;
    source->Update();  // a ping
    for (const std::string& text : socket->sent) std::cout << "sent " << text << '\n';
    std::cout << "status " << source->GetSourceStatus().text << '\n';
    socket->OnClosed().Broadcast(1001, "the server stops", true);
    source->Update();
    std::cout << "status " << source->GetSourceStatus().text << '\n';
    FPlatformTime::now += 1;
    source->Update();
    std::cout << "sockets " << sockets.made << '\n';
    FPlatformTime::now += 13;  // of silence
    source->Update();
    std::cout << "status " << source->GetSourceStatus().text << '\n';
    FPlatformTime::now += 1;
    source->Update();
    std::cout << "sockets " << sockets.made << '\n';
    sockets.last->OnClosed().Broadcast(4401, "wrong token", true);
    FPlatformTime::now += 60;
    source->Update();
    std::cout << "sockets " << sockets.made << '\n' << "shutdown " << source->RequestSourceShutdown() << '\n';
    FGestureLiveLinkSource far("wss://far/v1/watch", "a \"token\" of sixteen", "Gesture");
    far.ReceiveClient(&client, FGuid());
    sockets.last->OnConnected().Broadcast();
    std::cout << "greeting " << sockets.last->sent.front() << '\n';
    return 0;
}
