// The few declarations of Unreal that clients/unreal uses, so that its thin layer can be compiled
// and run without Unreal. Not Epic's code: signatures from its public documentation.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#define TEXT(text) text
#define UTF8_TO_TCHAR(text) text
#define UCLASS(...)
#define UPROPERTY(...)
#define GENERATED_BODY()
#define GESTURESTREAMER_API
#define IMPLEMENT_MODULE(kind, name) \
    kind& module_##name()            \
    {                                \
        static kind module;          \
        return module;               \
    }

using int32 = std::int32_t;
using SIZE_T = std::size_t;

class FString
{
public:
    FString(const char* text = "") : text_(text) {}
    bool IsEmpty() const { return text_.empty(); }
    const char* operator*() const { return text_.c_str(); }

private:
    std::string text_;
};

class FName
{
public:
    FName(const char* name = "") : name(name) {}
    std::string name;
};

class FText
{
public:
    static FText FromString(const FString& text)
    {
        FText made;
        made.text = *text;
        return made;
    }
    std::string text;
};

class FTCHARToUTF8
{
public:
    explicit FTCHARToUTF8(const char* text) : text_(text) {}
    const char* Get() const { return text_.c_str(); }
    int32 Length() const { return static_cast<int32>(text_.size()); }

private:
    std::string text_;
};

template <typename T>
class TArray : public std::vector<T>
{
public:
    void Add(T value) { this->push_back(std::move(value)); }
    void Reserve(int32 size) { this->reserve(static_cast<std::size_t>(size)); }
};

template <typename T>
class TSharedPtr : public std::shared_ptr<T>
{
public:
    using std::shared_ptr<T>::shared_ptr;
    TSharedPtr() = default;
    TSharedPtr(std::shared_ptr<T> other) : std::shared_ptr<T>(std::move(other)) {}
    bool IsValid() const { return this->get() != nullptr; }
    void Reset() { this->reset(); }
};

template <typename T, typename... Args>
std::shared_ptr<T> MakeShared(Args&&... args)
{
    return std::make_shared<T>(std::forward<Args>(args)...);
}

template <typename T>
std::remove_reference_t<T>&& MoveTemp(T&& value)
{
    return static_cast<std::remove_reference_t<T>&&>(value);
}

struct FGuid
{
    int32 A = 0;
};

struct FVector
{
    double X = 0, Y = 0, Z = 0;
    FVector() = default;
    FVector(double x, double y, double z) : X(x), Y(y), Z(z) {}
    FVector operator+(const FVector& o) const { return {X + o.X, Y + o.Y, Z + o.Z}; }
};

struct FQuat
{
    double X = 0, Y = 0, Z = 0, W = 1;
    FQuat(double x, double y, double z, double w) : X(x), Y(y), Z(z), W(w) {}
};

struct FTransform
{
    FQuat Rotation;
    FVector Translation;
    FTransform(FQuat rotation, FVector translation) : Rotation(rotation), Translation(translation) {}
};

struct FMath
{
    static float FRand() { return 0.5f; }
};

struct FPlatformTime
{
    static double now;
    static double Seconds() { return now; }
};

class UObject
{
};

class UClass
{
};

class UDeveloperSettings : public UObject
{
};

template <typename T>
const T* GetDefault()
{
    static const T settings;
    return &settings;
}

class FDefaultModuleImpl
{
};

template <typename... Args>
class TMulticastDelegate
{
public:
    template <typename T>
    void AddRaw(T* object, void (T::*method)(Args...))
    {
        AddLambda([object, method](Args... args) { (object->*method)(args...); });
    }
    void AddLambda(std::function<void(Args...)> call) { calls_.push_back(std::move(call)); }
    void Clear() { calls_.clear(); }
    void Broadcast(Args... args)
    {
        const auto calls = calls_;  // a callback may clear the list
        for (const auto& call : calls) call(args...);
    }

private:
    std::vector<std::function<void(Args...)>> calls_;
};

class IWebSocket
{
public:
    void Connect() {}
    void Close() {}
    bool IsConnected() const { return true; }
    void Send(const FString& text) { sent.push_back(*text); }
    TMulticastDelegate<>& OnConnected() { return connected_; }
    TMulticastDelegate<const FString&>& OnMessage() { return message_; }
    TMulticastDelegate<const void*, SIZE_T, bool>& OnBinaryMessage() { return binary_; }
    TMulticastDelegate<const FString&>& OnConnectionError() { return error_; }
    TMulticastDelegate<int32, const FString&, bool>& OnClosed() { return closed_; }
    std::vector<std::string> sent;

private:
    TMulticastDelegate<> connected_;
    TMulticastDelegate<const FString&> message_;
    TMulticastDelegate<const void*, SIZE_T, bool> binary_;
    TMulticastDelegate<const FString&> error_;
    TMulticastDelegate<int32, const FString&, bool> closed_;
};

class FWebSocketsModule
{
public:
    static FWebSocketsModule& Get()
    {
        static FWebSocketsModule module;
        return module;
    }
    TSharedPtr<IWebSocket> CreateWebSocket(const FString& url, const FString& protocol)
    {
        last_url = *url;
        last_protocol = *protocol;
        last = MakeShared<IWebSocket>();
        ++made;
        return last;
    }
    TSharedPtr<IWebSocket> last;
    std::string last_url, last_protocol;
    int made = 0;
};

struct FLiveLinkWorldTime
{
    double Time;
    explicit FLiveLinkWorldTime(double time = 0) : Time(time) {}
};

struct FLiveLinkSkeletonStaticData
{
    TArray<FName> PropertyNames;
    TArray<FName> BoneNames;
    TArray<int32> BoneParents;
    void SetBoneNames(const TArray<FName>& names) { BoneNames = names; }
    void SetBoneParents(const TArray<int32>& parents) { BoneParents = parents; }
    static int StaticStruct() { return 0; }
};

struct FLiveLinkAnimationFrameData
{
    FLiveLinkWorldTime WorldTime;
    TArray<float> PropertyValues;
    TArray<FTransform> Transforms;
    static int StaticStruct() { return 1; }
};

struct FLiveLinkStaticDataStruct
{
    explicit FLiveLinkStaticDataStruct(int) {}
    FLiveLinkSkeletonStaticData data;
    template <typename T>
    T* Cast() { return &data; }
};

struct FLiveLinkFrameDataStruct
{
    explicit FLiveLinkFrameDataStruct(int) {}
    FLiveLinkAnimationFrameData data;
    template <typename T>
    T* Cast() { return &data; }
};

struct FLiveLinkSubjectKey
{
    FGuid Source;
    FName SubjectName;
};

struct ULiveLinkAnimationRole
{
    static UClass* StaticClass() { return nullptr; }
};

class ILiveLinkClient
{
public:
    virtual ~ILiveLinkClient() = default;
    virtual void PushSubjectStaticData_AnyThread(const FLiveLinkSubjectKey& key, UClass* role, FLiveLinkStaticDataStruct&& data) = 0;
    virtual void PushSubjectFrameData_AnyThread(const FLiveLinkSubjectKey& key, FLiveLinkFrameDataStruct&& data) = 0;
};

class ILiveLinkSource
{
public:
    virtual ~ILiveLinkSource() = default;
    virtual void ReceiveClient(ILiveLinkClient* client, FGuid guid) = 0;
    virtual void Update() {}
    virtual bool IsSourceStillValid() const = 0;
    virtual bool RequestSourceShutdown() = 0;
    virtual FText GetSourceType() const = 0;
    virtual FText GetSourceMachineName() const = 0;
    virtual FText GetSourceStatus() const = 0;
};

class ULiveLinkSourceFactory : public UObject
{
public:
    enum class EMenuType { SubPanel, MenuEntry, Disabled };
    virtual ~ULiveLinkSourceFactory() = default;
    virtual FText GetSourceDisplayName() const = 0;
    virtual FText GetSourceTooltip() const = 0;
    virtual EMenuType GetMenuType() const = 0;
    virtual TSharedPtr<ILiveLinkSource> CreateSource(const FString& connection) const = 0;
};
