#pragma once

#include "CoreMinimal.h"
#include "ILiveLinkSource.h"

#include "gesture/stream.hpp"

class ILiveLinkClient;
class IWebSocket;

/**
 * Reads a stream and pushes a pose to Live Link in every frame of the editor or game.
 *
 * The core interpolates, so set the subject's own interpolation to none. Game thread only:
 * WebSocket callbacks come there, and so does Update.
 */
class FGestureLiveLinkSource : public ILiveLinkSource
{
public:
    FGestureLiveLinkSource(const FString& InUrl, const FString& InToken, FName InSubject);
    virtual ~FGestureLiveLinkSource() override;

    virtual void ReceiveClient(ILiveLinkClient* InClient, FGuid InSourceGuid) override;
    virtual void Update() override;
    virtual bool IsSourceStillValid() const override;
    virtual bool RequestSourceShutdown() override;
    virtual FText GetSourceType() const override;
    virtual FText GetSourceMachineName() const override;
    virtual FText GetSourceStatus() const override;

private:
    void Connect();
    void Disconnect();
    void Lost(const FString& Why, int32 Code);
    void OnConnected();
    void OnText(const FString& Message);
    void OnBinary(const void* Data, SIZE_T Size, bool bIsLastFragment);
    void Answer(bool bGood);
    void PushStaticData();
    void PushPose();

    const FString Url;
    const FString Token;
    const FName Subject;
    ILiveLinkClient* Client = nullptr;
    FGuid SourceGuid;
    TSharedPtr<IWebSocket> Socket;
    TSharedPtr<IWebSocket> Finished;
    gesture::Stream Stream;
    gesture::Heartbeat Heartbeat;
    std::string Reply;
    std::vector<std::uint8_t> Partial;
    FString Problem;
    double RetryAt = 0;
    int32 Attempt = 0;
    bool bGivenUp = false;
};
