#include "GestureLiveLinkSource.h"

#include "HAL/PlatformTime.h"
#include "ILiveLinkClient.h"
#include "IWebSocket.h"
#include "Math/Transform.h"
#include "Modules/ModuleManager.h"
#include "Roles/LiveLinkAnimationRole.h"
#include "Roles/LiveLinkAnimationTypes.h"
#include "WebSocketsModule.h"

#include "gesture/axes.hpp"

namespace
{
    FVector Position(const float* V)
    {
        const auto P = gesture::unreal_position(V);
        return FVector(P[0], P[1], P[2]);
    }

    FQuat Rotation(const float* Q)
    {
        const auto R = gesture::unreal_rotation(Q);
        return FQuat(R[0], R[1], R[2], R[3]);
    }
}

FGestureLiveLinkSource::FGestureLiveLinkSource(const FString& InUrl, const FString& InToken, FName InSubject)
    : Url(InUrl), Token(InToken), Subject(InSubject)
{
    Stream.on_hello = [this](const gesture::Hello&)
    {
        Attempt = 0;
        PushStaticData();
    };
}

FGestureLiveLinkSource::~FGestureLiveLinkSource()
{
    Disconnect();
}

void FGestureLiveLinkSource::ReceiveClient(ILiveLinkClient* InClient, FGuid InSourceGuid)
{
    Client = InClient;
    SourceGuid = InSourceGuid;
    Connect();
}

void FGestureLiveLinkSource::Update()
{
    Finished.Reset();
    if (Client == nullptr)
    {
        return;
    }
    const double Now = FPlatformTime::Seconds();
    if (!Socket.IsValid() && !bGivenUp && Now >= RetryAt)
    {
        Connect();
    }
    else if (Socket.IsValid() && Heartbeat.dead(Now))
    {
        Lost(TEXT("The engine has fallen silent"), 0);
    }
    else if (Socket.IsValid() && Socket->IsConnected() && Heartbeat.due(Now))
    {
        Socket->Send(FString(UTF8_TO_TCHAR(gesture::ping(Heartbeat.count()).c_str())));
    }
    PushPose();
}

bool FGestureLiveLinkSource::IsSourceStillValid() const
{
    return Client != nullptr;
}

bool FGestureLiveLinkSource::RequestSourceShutdown()
{
    Disconnect();
    Client = nullptr;
    return true;
}

FText FGestureLiveLinkSource::GetSourceType() const
{
    return FText::FromString(TEXT("Gesture Streamer"));
}

FText FGestureLiveLinkSource::GetSourceMachineName() const
{
    return FText::FromString(Url);
}

FText FGestureLiveLinkSource::GetSourceStatus() const
{
    if (!Socket.IsValid())
    {
        return FText::FromString(Problem.IsEmpty() ? TEXT("Waiting for gesture live") : Problem);
    }
    return FText::FromString(Stream.hello() == nullptr ? TEXT("Connecting") : TEXT("Receiving"));
}

void FGestureLiveLinkSource::Connect()
{
    Stream.connected();
    Heartbeat.start(FPlatformTime::Seconds());
    Partial.clear();
    Socket = FWebSocketsModule::Get().CreateWebSocket(Url, TEXT("gesture.v1.bin"));
    Socket->OnConnected().AddRaw(this, &FGestureLiveLinkSource::OnConnected);
    Socket->OnMessage().AddRaw(this, &FGestureLiveLinkSource::OnText);
    Socket->OnBinaryMessage().AddRaw(this, &FGestureLiveLinkSource::OnBinary);
    Socket->OnConnectionError().AddLambda([this](const FString& Error) { Lost(Error, 0); });
    Socket->OnClosed().AddLambda([this](int32 Code, const FString& Reason, bool) { Lost(Reason, Code); });
    Socket->Connect();
}

void FGestureLiveLinkSource::Disconnect()
{
    if (Socket.IsValid())
    {
        // The callbacks hold `this`.
        Socket->OnConnected().Clear();
        Socket->OnMessage().Clear();
        Socket->OnBinaryMessage().Clear();
        Socket->OnConnectionError().Clear();
        Socket->OnClosed().Clear();
        Socket->Close();
        Finished = MoveTemp(Socket); // we may be in one of its callbacks
        Socket.Reset();
    }
}

void FGestureLiveLinkSource::Lost(const FString& Why, int32 Code)
{
    Problem = Why;
    bGivenUp = gesture::is_final(Code) || Code == 1000;
    RetryAt = FPlatformTime::Seconds() + gesture::backoff(Attempt++, FMath::FRand());
    Disconnect();
}

void FGestureLiveLinkSource::OnConnected()
{
    if (!Token.IsEmpty())
    {
        const FTCHARToUTF8 Utf8(*Token);
        const std::string Hello = gesture::client_hello(std::string_view(Utf8.Get(), static_cast<std::size_t>(Utf8.Length())));
        Socket->Send(FString(UTF8_TO_TCHAR(Hello.c_str())));
    }
}

void FGestureLiveLinkSource::OnText(const FString& Message)
{
    const FTCHARToUTF8 Utf8(*Message);
    const std::string_view Text(Utf8.Get(), static_cast<std::size_t>(Utf8.Length()));
    Answer(Stream.text(Text, FPlatformTime::Seconds(), Reply));
}

void FGestureLiveLinkSource::OnBinary(const void* Data, SIZE_T Size, bool bIsLastFragment)
{
    const auto* Bytes = static_cast<const std::uint8_t*>(Data);
    Partial.insert(Partial.end(), Bytes, Bytes + Size);
    if (bIsLastFragment)
    {
        Answer(Stream.binary(Partial.data(), Partial.size(), FPlatformTime::Seconds(), Reply));
        Partial.clear();
    }
    else if (Partial.size() > gesture::kMaxMessageBytes)
    {
        Lost(TEXT("A message of the engine is too large"), 0);
    }
}

void FGestureLiveLinkSource::Answer(bool bGood)
{
    Heartbeat.heard(FPlatformTime::Seconds());
    if (!bGood)
    {
        Lost(FString(UTF8_TO_TCHAR(Stream.problem().c_str())), 0);
    }
    else if (!Reply.empty() && Socket.IsValid())
    {
        Socket->Send(FString(UTF8_TO_TCHAR(Reply.c_str())));
    }
}

void FGestureLiveLinkSource::PushStaticData()
{
    const gesture::Hello& Hello = *Stream.hello();
    FLiveLinkStaticDataStruct Data(FLiveLinkSkeletonStaticData::StaticStruct());
    auto& Skeleton = *Data.Cast<FLiveLinkSkeletonStaticData>();
    TArray<FName> Bones;
    TArray<int32> Parents;
    for (std::size_t I = 0; I < Hello.bones.size(); ++I)
    {
        Bones.Add(FName(UTF8_TO_TCHAR(Hello.bones[I].c_str())));
        Parents.Add(Hello.parents[I]);
    }
    Skeleton.SetBoneNames(Bones);
    Skeleton.SetBoneParents(Parents);
    Skeleton.PropertyNames.Add(TEXT("GestureWeight"));
    Client->PushSubjectStaticData_AnyThread({SourceGuid, Subject}, ULiveLinkAnimationRole::StaticClass(), MoveTemp(Data));
}

void FGestureLiveLinkSource::PushPose()
{
    gesture::Playback* Playback = Stream.playback();
    if (Playback == nullptr)
    {
        return;
    }
    const double Now = FPlatformTime::Seconds();
    Playback->update(Now);
    const gesture::Hello& Hello = *Stream.hello();
    const gesture::Pose& Pose = Playback->pose();
    FLiveLinkFrameDataStruct Data(FLiveLinkAnimationFrameData::StaticStruct());
    auto& Frame = *Data.Cast<FLiveLinkAnimationFrameData>();
    Frame.WorldTime = FLiveLinkWorldTime(Now);
    Frame.PropertyValues.Add(static_cast<float>(Playback->weight()));
    Frame.Transforms.Reserve(static_cast<int32>(Hello.bones.size()));
    for (std::size_t I = 0; I < Hello.bones.size(); ++I)
    {
        FVector Offset = Position(&Hello.rest[3 * I]);
        if (Hello.parents[I] < 0)
        {
            Offset = Offset + Position(Pose.root.data());
        }
        Frame.Transforms.Add(FTransform(Rotation(&Pose.rotations[4 * I]), Offset));
    }
    Client->PushSubjectFrameData_AnyThread({SourceGuid, Subject}, MoveTemp(Data));
}
