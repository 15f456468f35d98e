#pragma once

#include "CoreMinimal.h"
#include "LiveLinkSourceFactory.h"

#include "GestureLiveLinkSourceFactory.generated.h"

/** Puts "Gesture Streamer" into Live Link's list of sources. */
UCLASS()
class GESTURESTREAMER_API UGestureLiveLinkSourceFactory : public ULiveLinkSourceFactory
{
    GENERATED_BODY()

public:
    virtual FText GetSourceDisplayName() const override;
    virtual FText GetSourceTooltip() const override;
    virtual EMenuType GetMenuType() const override { return EMenuType::MenuEntry; }
    virtual TSharedPtr<ILiveLinkSource> CreateSource(const FString& ConnectionString) const override;
};
