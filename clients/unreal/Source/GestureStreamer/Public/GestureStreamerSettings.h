#pragma once

#include "CoreMinimal.h"
#include "Engine/DeveloperSettings.h"

#include "GestureStreamerSettings.generated.h"

/** Project Settings, Plugins, Gesture Streamer. */
UCLASS(Config = Game, DefaultConfig, meta = (DisplayName = "Gesture Streamer"))
class GESTURESTREAMER_API UGestureStreamerSettings : public UDeveloperSettings
{
    GENERATED_BODY()

public:
    /** Where `gesture live` listens. */
    UPROPERTY(Config, EditAnywhere, Category = "Engine")
    FString Url = TEXT("ws://127.0.0.1:8765/v1/watch");

    /** Only for an engine on another machine; keep it out of projects that you share. */
    UPROPERTY(Config, EditAnywhere, Category = "Engine")
    FString Token;

    /** The name of the subject in Live Link. */
    UPROPERTY(Config, EditAnywhere, Category = "Engine")
    FName Subject = TEXT("Gesture");
};
