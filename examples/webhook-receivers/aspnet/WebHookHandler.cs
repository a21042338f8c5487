// Shown, and run by nobody here: the tests have no .NET. What the package around it does is in
// receiver.py, which they run.
//
// Packages: Microsoft.AspNet.WebHooks.Receivers.Custom, Microsoft.AspNet.WebApi.Cors.
// Web.config: <add key="MS_WebHookReceiverSecret_Custom" value="the secret, 32 to 64 characters" />
// WebApiConfig.cs: config.InitializeReceiveCustomWebHooks();
//                  config.EnableCors(new EnableCorsAttribute("https://livesupporti.com", "*", "GET,POST"));
// The webhook's URL: https://www.acme.example/api/webhooks/incoming/custom

using System;
using System.Configuration;
using System.Linq;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Text;
using System.Threading.Tasks;
using Microsoft.AspNet.WebHooks;
using Newtonsoft.Json.Linq;

public class ChatStartedHandler : WebHookHandler
{
    private static readonly HttpClient Http = new HttpClient();

    public ChatStartedHandler()
    {
        Receiver = CustomWebHookReceiver.ReceiverName;
    }

    public override async Task ExecuteAsync(string receiver, WebHookHandlerContext context)
    {
        var body = context.GetDataOrDefault<JObject>();
        if (!Customers.IsNewEvent((string)body["Id"]))
        {
            return;
        }
        var data = body["Notifications"].First(n => (string)n["Action"] == "chat.started")["Data"];
        var visitor = (string)data["Visitor"]["Id"];
        var customer = Customers.FindByEmail((string)data["Visitor"]["Email"]);
        if (customer == null)
        {
            return;
        }
        var details = new JObject
        {
            ["AccountId"] = data["AccountId"],
            ["AgentId"] = data["AgentId"],
            ["VisitorId"] = visitor,
            ["Fields"] = new JArray(customer.Select(f => new JObject { ["name"] = f.Key, ["value"] = f.Value })),
        };
        var settings = ConfigurationManager.AppSettings;
        var basic = Encoding.UTF8.GetBytes(settings["DetailsUser"] + ":" + settings["DetailsPassword"]);
        var url = settings["DetailsUrl"] + "/api/visitors/" + Uri.EscapeDataString(visitor) + "/details";
        var request = new HttpRequestMessage(HttpMethod.Post, url)
        {
            Content = new StringContent(details.ToString(), Encoding.UTF8, "application/json"),
        };
        request.Headers.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(basic));
        (await Http.SendAsync(request)).EnsureSuccessStatusCode();
    }
}
