#include "GestureLiveLinkSourceFactory.h"

#include "GestureLiveLinkSource.h"
#include "GestureStreamerSettings.h"

FText UGestureLiveLinkSourceFactory::GetSourceDisplayName() const
{
    return FText::FromString(TEXT("Gesture Streamer"));
}

FText UGestureLiveLinkSourceFactory::GetSourceTooltip() const
{
    return FText::FromString(TEXT("Live gestures of a running Gesture Streamer; its address is in the project settings"));
}

TSharedPtr<ILiveLinkSource> UGestureLiveLinkSourceFactory::CreateSource(const FString& ConnectionString) const
{
    const auto* Settings = GetDefault<UGestureStreamerSettings>();
    const FString& Url = ConnectionString.IsEmpty() ? Settings->Url : ConnectionString;
    return MakeShared<FGestureLiveLinkSource>(Url, Settings->Token, Settings->Subject);
}
