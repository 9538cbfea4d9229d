"""English words that the text examples know. Each list is one string, so that it is easy to read and to extend."""

# -- what people say about things

GOOD = """
accurate adorable affordable amazing amusing attentive authentic awesome beautiful best better brilliant bright calm capable
careful charming cheap cheerful clean clear clever comfortable comfy convenient cool correct courteous cozy cosy creamy
crisp crispy cute decent delicious delightful dependable divine durable easy effective efficient elegant enjoyable
entertaining excellent exceptional exciting exquisite fabulous fair faithful fantastic fascinating fast fine flawless
flexible fresh friendly fun funny generous gentle genuine glorious good gorgeous gracious grand great handy happy healthy
helpful honest hospitable ideal impeccable impressive incredible informative inspiring intelligent interesting intuitive
inviting juicy kind knowledgeable lively lovely loyal lucky luxurious magical magnificent marvellous marvelous memorable
modern neat nice outstanding patient peaceful perfect phenomenal pleasant pleasing polished polite powerful pretty precise
prompt proper punctual quick quiet reasonable refreshing relaxing reliable remarkable responsive rewarding rich romantic
safe satisfying seamless secure sensational sensible silky skilled smart smooth soft solid spacious sparkling special
spectacular splendid spotless stunning sturdy stylish sublime successful super superb supportive surprising sweet swift
talented tasty tender terrific thorough thoughtful thrilling tidy timely top touching trustworthy unbeatable unforgettable
upbeat useful valuable vibrant warm welcoming witty wonderful worthwhile yummy
"""
BAD = """
abysmal aggressive annoying appalling arrogant atrocious average awful awkward bad bitter bland boring broken bumpy buggy
careless chaotic cheeky clumsy cold confusing cracked cramped crap crappy creepy crooked crowded cruel damaged damp
dangerous dead deceptive defective depressing dirty disappointing disgraceful disgusting dishonest dismal disorganised
disorganized dreadful dreary dull dusty embarrassing excessive expensive exhausting faded fake false faulty filthy flawed
flimsy foul frustrating ghastly greasy grim gross grubby grumpy harsh hideous hopeless horrendous horrible horrid horrific
hostile ignorant impolite impossible inaccurate incapable incompetent incomplete inconsiderate inconsistent inconvenient
incorrect inedible inefficient inferior insulting irresponsible irritating jammed joyless lame late lazy leaking lifeless
loud lousy mean mediocre messy miserable misleading moldy mouldy nasty negligent noisy obnoxious offensive outdated
outrageous overcooked overpriced painful pathetic patronising poor pointless predictable pushy ridiculous rotten rough rude
rusty sad salty scary scratched shabby shady shameful shocking shoddy sick silly slow sloppy smelly soggy sour stale sticky
stiff stingy stinking stressful stupid substandard subpar sluggish tasteless tedious terrible terrifying tiresome tiring
torn toxic tragic ugly unacceptable unbearable uncaring uncomfortable undercooked unfair unfriendly unhappy unhealthy
unhelpful unhygienic unimpressive uninspired uninterested unpleasant unprofessional unreasonable unreliable unresponsive
unsafe unsatisfactory unstable unusable unwatchable unwelcoming upset upsetting useless vague vile weak weird worn worse
worst worthless wrong
"""
LIKE = """
love loves loved like likes liked enjoy enjoys enjoyed adore adored appreciate appreciated admire admired recommend
recommended
"""
DISLIKE = """
hate hates hated dislike dislikes disliked regret regretted despise despised detest detested loathe avoid resent resented
"""
PLEASED = """
delighted pleased thrilled glad satisfied grateful thankful impressed excited relaxed amazed charmed proud happy
"""
DISPLEASED = """
disappointed angry annoyed furious frustrated unhappy upset disgusted dissatisfied sad tired bored appalled irritated
shocked ashamed worried outraged confused
"""
PRAISE = """
thanks thank bravo congratulations pleasure delight treat gem bargain masterpiece triumph joy success winner favourite
favorite highlight happier paradise charm kindness comfort enjoyment happiness beauty
"""
BLAME = """
disaster mess nightmare waste failure scam joke shame disgrace fraud letdown disappointment catastrophe fiasco junk rubbish
garbage trash flop insult embarrassment horror misery torture theft lie lies trouble ordeal
"""
FAULTS = """
crashes crashed crash broke breaks leaks leaked fails failed failing freezes froze smells smelled stinks stank hurts hurt
ruined spoiled spoilt wasted ignored cheated scammed lied overcharged cancelled complained complain complaint complaints
refund missing lost stolen cracked ripped tore burnt burned stuck
"""
NEGATORS = (
    "not no never t cannot cant dont didnt doesnt isnt wasnt wont without hardly neither nor nothing barely"
)
STRONGER = "very really so too extremely absolutely truly quite pretty totally completely incredibly rather particularly such"

GOOD_MANNER = "well perfectly beautifully brilliantly nicely wonderfully smoothly flawlessly happily superbly quickly politely"
BAD_MANNER = (
    "badly poorly terribly horribly slowly rudely awfully carelessly loudly miserably dreadfully late"
)

# -- what they speak of

THINGS = """
food staff service room hotel film movie book phone laptop battery screen camera coffee tea pizza bread cake soup breakfast
lunch dinner restaurant waiter manager driver bus train flight trip tour guide journey holiday beach garden park museum shop
store product parcel delivery package order price quality design colour color sound music song album concert show play game
app website software update support team teacher course lesson class doctor nurse hospital dentist bed pillow shower
bathroom kitchen pool view location street city town village house flat apartment office chair table sofa lamp car bike
engine seat ticket queue menu dish meal drink wine beer water fish chicken steak salad dessert chocolate ice cream cheese
sauce taste smell weather story plot ending actor actress author chapter page picture photo shoes shirt jacket dress coat
bag watch headphones keyboard printer cable charger television radio fridge oven machine vacuum cleaner toy gift present
experience event party wedding meeting stay visit evening morning day week atmosphere place people owner neighbour neighbor
host receptionist agent customer company bank account card payment offer deal instructions manual package box door window
floor wall roof lift stairs
"""
DAYS = "monday tuesday wednesday thursday friday saturday sunday"
MONTHS = "january february march april may june july august september october november december"
COMMON = """
a about above across act add after afternoon again against age ago air all almost along already also although always am
among an and animal another answer any anyone anything apple are area arm around arrive arrived arrives art as ask asked at
ate away baby back bag ball be bear beat became because become been before began begin behind being below between big bird
black blue blood board boat body bone book born both bottle bottom bought bowl boy branch bread bring brother brought brown
build building built bus business busy but buy by call called came can cannot capital care carry case cat catch cause cent
centre center century chance change check child children choose church circle clock close clothes cloud coast collect
college come comes coming common contain continue control cook copy corner cost could count country couple cover cross cup
current cut d daughter days decide deep degree depend describe desk develop dictionary did die difference different dinner
direct distance do does dog doing done down draw dream drive dropped during each ear early earth east eat edge effect egg
eight either electric else employees end enough enter equal even ever every everyone everything example except expect
explain eye eyes face fact fall family far farm farmer father feel feet fell few field fight figure fill final find finger
finish finished fire first five floor flower fly follow foot for forest form forward found four free french friend friends
from front fruit full game gave general get gets getting girl give given glass go goes gold gone got government grass green
ground group grow grew guess had hair half hand hands happen happened hard has hat have having he head hear heard heart heat
heavy held help her here high hill him himself his history hold hole home horse hot hour hours how however huge human
hundred husband i idea if imagine in inch include including indeed industry inside instead into iron is island it its itself
job join joined jump just keep kept key kids kilometres king knew know known lady lake land language large last later laugh
law lay lead learn learned least leave leaves left leg length less let letter level light line list listen little live lived
lives living ll local long look looked looking low lunch m made mail main make makes making man many map mark market master
match material matter may maybe me measure meat meet member memory men metal method middle might mile miles milk million
mind minute minutes moment money month months moon more most mother mountain mouth move moved much must my name named nation
near nearly need needed needs new news next night nine north nose note nothing notice noun now number object ocean of off
offered office often oh oil on once one only open opened opens opposite or orange order other our out outside over own page
paid pair paper parents part pass passed past pattern pay perhaps period person phone picture piece plan plane plant plate
play played plays please point police position possible post pound power prepare president press printed probably problem
process produce property provide public pull push put question questions rain ran re reach reached read ready real reason
receive received record red remember report rest result return returned ride right ring rise river road rock room round row
rule run runs s said sail salt same sand sat saw say says school science sea season second section see seem seemed seen sell
send sent sentence serve set seven several shall shape she sheep ship shoe shop short should shoulder show side sign simple
since sing sister sit six size skin sky sleep small snow some someone something sometimes son soon south space speak spell
spend spent spoke spring square stand star start started state station stay step still stone stood stop story straight
street string strong student students study subject such sugar suggest summer sun supply suppose sure surface system table
take taken takes taking talk talked tall taught tell ten test than that the their them themselves then there these they
thing things think third this those though thought thousand three through throughout time times to today together told
tomorrow took tool top total touch toward town trade travel travelled tree tried tries truck true try turn turned twelve
twenty twice two type under understand unit until up upon us use used uses usual usually valley value various ve very visit
visited voice wait waited walk walked wall want wanted wants war was wash watch watched water wave way we wear week weeks
weight well went were west what wheel when where whether which while white who whole whose why wide wife wild will wind
window winter wish with within without woman women won wonder wood word words work worked working works world would write
writes written wrote yard year years yellow yes yesterday yet you young your yours
"""

# -- names

FIRST_NAMES = """
Ada Adam Adrian Ahmed Alan Albert Alex Alexander Alice Alicia Amanda Amelia Amy Ana Anders Andrea Andrew Angela Anita Ann
Anna Anne Anthony Antonio Arthur Barbara Beatrice Ben Benjamin Bernard Bob Brian Bruno Camille Carl Carla Carlos Carmen
Caroline Catherine Cecilia Charles Charlie Chloe Chris Christian Christine Clara Claire Claudia Daniel Daniela David Deborah
Diana Diego Dominic Donald Dora Dorothy Edward Elena Elias Elizabeth Ella Ellen Emil Emily Emma Eric Erik Erika Ernest Eva
Evelyn Fatima Felix Fiona Florian Frank Franz Fred Gabriel George Gerald Grace Greta Hannah Hans Harold Harry Heinz Helen
Helena Henry Hugo Ian Ibrahim Igor Ines Irene Isaac Isabel Ivan Jack Jacob Jakob James Jan Jane Janet Jason Jean Jennifer
Jessica Jim Joan Johan Johann John Jonas Jonathan Jose Joseph Juan Judith Julia Julian Julie Karen Karl Kate Katharina
Katherine Keith Kevin Klaus Laura Lea Leo Leon Leonard Liam Linda Lisa Louis Louise Lucas Lucia Lucy Luis Luke Maja Marcel
Marco Margaret Maria Marie Mario Mark Marta Martha Martin Mary Matthew Max Maya Melissa Michael Michelle Miguel Mohamed Mona
Nadia Nancy Natalie Nicole Nina Noah Nora Olga Oliver Olivia Omar Oscar Otto Pablo Pamela Patricia Patrick Paul Paula Pedro
Peter Philip Rachel Ralph Rebecca Richard Rita Robert Roger Rosa Ruth Ryan Sabine Sam Samuel Sandra Sara Sarah Sebastian
Simon Sofia Sonia Sophie Stefan Stephen Steven Susan Teresa Thomas Tim Tom Tony Ursula Valentina Vera Victor Victoria
Vincent Walter Wendy William Yusuf Zoe
"""
SURNAMES = """
Adams Allen Anderson Babbage Bach Bailey Baker Barnes Bauer Becker Bell Bennett Bergman Brooks Campbell Carter Clarke
Collins Cooper Cox Curie Darwin Davies Davis Diaz Dickens Edison Edwards Einstein Evans Fernandez Fischer Fisher Fleming
Foster Garcia Gauss Gonzalez Graham Gruber Haas Hall Harris Hernandez Hill Hoffmann Hopper Huber Hughes Huxley Jackson
Jensen Johnson Jones Kaiser Kelly Kennedy Khan King Klein Koch Kowalski Kumar Larsen Lee Lehmann Lewis Lopez Lovelace Mayer
Martinez Maxwell Meier Meyer Miller Mitchell Moore Morgan Moreau Morris Mozart Murphy Nelson Newton Nguyen Nielsen Novak
Olsen Parker Patel Pereira Perez Peterson Phillips Price Ramirez Reed Reid Reynolds Richardson Rivera Roberts Robinson
Rodriguez Rogers Rossi Sanchez Santos Schmidt Schneider Schubert Schulz Shakespeare Sharma Silva Singh Smith Stewart
Svensson Tanaka Taylor Thompson Torres Turing Turner Wagner Walker Watson Watt Weber White Wilson Wolf Wood Wright Yamamoto
Young Zimmermann
"""
CITIES = """
Aberdeen Accra Amsterdam Ankara Antwerp Athens Atlanta Auckland Baghdad Bangkok Barcelona Basel Beijing Beirut Belfast
Belgrade Bergen Berlin Bern Birmingham Bogota Bologna Bordeaux Boston Bratislava Bremen Bristol Brisbane Brussels Bucharest
Budapest Cairo Calgary Cambridge Canberra Cardiff Chicago Cologne Copenhagen Dakar Dallas Damascus Delhi Denver Detroit
Dresden Dubai Dublin Dundee Edinburgh Frankfurt Geneva Genoa Ghent Glasgow Graz Hamburg Hanoi Hanover Havana Helsinki
Houston Innsbruck Istanbul Jakarta Jerusalem Johannesburg Kabul Karachi Kathmandu Kiev Krakow Kyiv Kyoto Lagos Lahore Leeds
Leipzig Lille Lima Linz Lisbon Liverpool Ljubljana London Lyon Madrid Malmo Manchester Manila Marrakesh Marseille Melbourne
Miami Milan Minsk Montreal Moscow Mumbai Munich Nairobi Naples Nice Nuremberg Osaka Oslo Ottawa Oxford Palermo Paris Perth
Philadelphia Porto Prague Quebec Reykjavik Riga Rome Rotterdam Salzburg Santiago Sarajevo Seattle Seoul Seville Shanghai
Sheffield Singapore Sofia Stockholm Stuttgart Tallinn Tbilisi Tehran Tokyo Toronto Toulouse Tunis Turin Utrecht Valencia
Vancouver Venice Verona Vienna Vilnius Warsaw Wellington York Zagreb Zurich
"""
COUNTRIES = """
Afghanistan Africa Alaska Albania Algeria America Argentina Armenia Asia Australia Austria Bavaria Belgium Bolivia Brazil
Britain Bulgaria California Canada Chile China Colombia Croatia Cuba Cyprus Denmark Ecuador Egypt England Estonia Ethiopia
Europe Finland Florida France Germany Ghana Greece Greenland Hungary Iceland India Indonesia Iran Iraq Ireland Israel Italy
Japan Kenya Korea Latvia Lebanon Lithuania Luxembourg Malaysia Malta Mexico Mongolia Morocco Nepal Netherlands Nigeria
Norway Pakistan Peru Poland Portugal Romania Russia Scotland Senegal Serbia Sicily Slovakia Slovenia Spain Sudan Sweden
Switzerland Syria Taiwan Tanzania Texas Thailand Tunisia Turkey Tuscany Uganda Ukraine Uruguay Venezuela Vietnam Wales
Zambia Zimbabwe
"""
PERSON_OR_PLACE = "Austin Carolina Charlotte Chad Florence Georgia Jordan Lincoln Madison Milton Paris Sydney Virginia Washington"
COMPANIES = """
Adidas Airbus Amazon Apple Bayer Boeing Bosch Canon Daimler Facebook Ferrari Ford Google Honda Ikea Intel Lego Lufthansa
Microsoft Mozilla Nestle Netflix Nike Nintendo Nokia Novartis Oracle Panasonic Pfizer Philips Porsche Renault Reuters Roche
Samsung Shell Siemens Sony Spotify Starbucks Tesco Toyota Twitter Unilever Vodafone Volkswagen Volvo Wikipedia BBC BMW CNN
FBI IBM NASA NATO UNESCO UNICEF SAP
"""
TITLES = """
Mr Mrs Ms Miss Dr Doctor Prof Professor Sir Lady Lord Captain President Chancellor Queen King Pope Judge Sister Uncle Aunt
"""
ORG_ENDINGS = """
Ltd Limited Inc Corp Corporation Company Co GmbH AG plc PLC LLC LLP SA Group Holdings Partners Industries Systems
Technologies Solutions Airlines Motors Bank Foods Press Records Studios Logistics Consulting Insurance Hospital Club Society
Association Foundation Council Institute University College Orchestra Museum Agency Committee Union Party Trust Laboratories
"""
ORG_STARTS = "University Bank Ministry Institute Museum Department Church Academy College Court House Royal National Federal"
PLACE_ENDINGS = "Street Road Avenue Square Lane River Lake Island Islands Bay Beach Park Valley Hill Hills Bridge Airport Station"
PLACE_STARTS = "New San Santa Los Las Saint St Mount Lake North South East West Port Cape Upper Lower Great River Fort El La Le"
PEOPLES = """
American Australian Austrian British Canadian Chinese Danish Dutch English European French German Greek Indian Irish Italian
Japanese Jewish Korean Mexican Muslim Norwegian Polish Portuguese Russian Scottish Spanish Swedish Swiss Turkish Christian
Latin Bible Easter Christmas Internet God Excel Olympic Earth
"""
# What people do, which places and companies seldom do
DEEDS = """
said says met meets asked told wrote writes spoke smiled laughed cried married lives lived born died worked works plays
played sang sings thinks thought loves loved called phoned visited thanked replied answered moved studied taught teaches
drove walked invented painted discovered explained
"""


def words(text: str) -> list[str]:
    """The words of a list, each once, in its order."""
    return list(dict.fromkeys(text.split()))
